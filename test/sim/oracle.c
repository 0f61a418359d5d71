/*-------------------------------------------------------------------------
 *
 * oracle.c
 *	  What has to hold of every request and of every settlement.
 *
 * Written from the contract (design A1, B1, B3, B4), not from the scheduler: it knows
 * rows, answers and times, and nothing of windows, breakers or holds.
 *
 *	phantom				sent, or settled, what is not in the table
 *	without consent		before a challenge was answered that it has to wait for
 *	overlapping			two transitions of an object under way at once
 *	out of order		an older one is there and has not been settled
 *	too soon			an older one was settled, and a crash would undo that
 *	early				before the schedule's time, or the receiver's
 *	too many			more under way than the settings allow
 *	too fast			more in some span than a subscription's rate limit allows: what it brings in
 *						that span, and what it brings in a tenth of a second, or one
 *	wrongly acknowledged, wrongly superseded, wrongly given up
 *	late				a good endpoint waited too long: see LATE
 *	lost				it never left the table, though everyone acknowledges
 *	spins				turn after turn without anything to do
 *	assertion			schedule/invariants.c, or an Assert of the product's
 *
 * "early" makes an exception where the host was reached since: what recovers is due at
 * once.  In a world whose clock jumps nothing is called early, because times of the
 * table mean little there.
 *
 * test/sim/oracle.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "pg/guc.h"

#include "sim.h"

/*
 * A good endpoint gets what is for it within this, if nothing has disturbed all of it;
 * after that, what had gathered goes first, so fast.  One that has not lately
 * acknowledged anything may have to wait until others of the kind have timed out, which
 * have half of the places.
 * Where some are slow, a good one beside them at a host gets every second of its places, and those
 * come back slowly.
 */
#define LATE (10 * SECOND)
#define LATE_UNPROVEN (30 * SECOND)
#define LATE_BESIDE_SLOW (60 * SECOND)
#define LATELY (10 * SECOND)
#define EACH_WAITING (SECOND / 50)

SimCounts	sim_counts;

static KgwTicks began_at;		/* the worker */
static KgwTicks disturbed_at;
static int	in_flight;

static void
trace(const SimRow *row, const char *what)
{
	if (sim_verbose)
		printf("%12.6f  " INT64_FORMAT " %s %s/%d/%s: %s\n", sim_now / 1e6, row->id,
			   row->endpoint->url, sim_org_name(row->object->org), row->object->kind,
			   row->object->id, what);
}

/* All endpoints may be served later for what happens now. */
void
sim_oracle_disturbed(void)
{
	disturbed_at = sim_now + sim_table_left() * EACH_WAITING;
}

static bool
clock_was_steady(KgwTicks since)
{
	return sim_jumped_at <= since;
}

static bool
has_newer(const SimRow *row)
{
	for (int i = row->chain->count - 1; i >= 0 && row->chain->ids[i] > row->id; i--)
		if (sim_row(row->chain->ids[i])->present)
			return true;
	return false;
}

static bool
newer_was_acknowledged(const SimRow *row)
{
	for (int i = row->chain->count - 1; i >= 0 && row->chain->ids[i] > row->id; i--)
		if (sim_row(row->chain->ids[i])->acked)
			return true;
	return false;
}

static void
check_order(const SimRow *row)
{
	SimChain   *chain = row->chain;

	while (chain->first < chain->count && sim_row(chain->ids[chain->first])->visible &&
		   !sim_row(chain->ids[chain->first])->present &&
		   !sim_row(chain->ids[chain->first])->undurable)
		chain->first++;
	for (int i = chain->first; i < chain->count; i++)
	{
		const SimRow *other = sim_row(chain->ids[i]);

		if (other->sending)
			sim_wrong("overlapping", "%ld while %ld is under way", (long) row->id, (long) other->id);
		if (other->id < row->id && !other->present && other->undurable && !other->requeued)
			sim_wrong("too soon", "%ld, and a crash would bring back %ld", (long) row->id, (long) other->id);
		if (other->id < row->id && other->present && !other->requeued)
			sim_wrong("out of order", "%ld before %ld", (long) row->id, (long) other->id);
	}
}

/* The last word on a hold may be asked for ahead of the schedule, not of the receiver. */
static bool
may_be_last_word(const SimRow *row)
{
	return row->answered_no && has_newer(row) &&
		sim_now - row->refused_first >= kgw_settings.max_hold * INT64CONST(1000) - SECOND;
}

static void
check_time(const SimRow *row)
{
	if (row->ended_at == 0 || sim_jumped_at != 0)
		return;
	if (sim_now < row->wish)
		sim_wrong("early", "%ld %.3f s before the receiver wants it", (long) row->id,
				  (row->wish - sim_now) / 1e6);
	if (sim_now < row->due && row->answers == row->endpoint->host->answers &&
		!may_be_last_word(row))
		sim_wrong("early", "%ld %.3f s before its time", (long) row->id,
				  (row->due - sim_now) / 1e6);
}

static void
check_rate(SimEndpoint *e)
{
	double		most;

	if (e->gap == 0)
		return;
	most = Max(SECOND / 10.0 / e->gap, 1);
	e->level = Max(e->level - (double) (sim_now - e->level_at) / e->gap, 0) + 1;
	e->level_at = sim_now;
	if (e->level > most + 0.001)
		sim_wrong("too fast", "%s gets one each " INT64_FORMAT " us, and %.3f at once", e->url, e->gap, e->level);
}

/* A request goes out. */
void
sim_oracle_sent(SimRow *row)
{
	SimHost    *host = row->endpoint->host;

	trace(row, "sent");
	sim_counts.requests++;
	if (!row->present)
		sim_wrong("phantom", "%ld was sent and is not in the table", (long) row->id);
	if (sim_consent_is_missing(row))
		sim_wrong("without consent", "%ld", (long) row->id);
	check_order(row);
	check_time(row);
	check_rate(row->endpoint);
	row->sending = true;
	if (++host->in_flight > kgw_settings.max_in_flight_per_destination)
		sim_wrong("too many", "%d to %s", host->in_flight, host->name);
	if (++in_flight > kgw_settings.max_in_flight)
		sim_wrong("too many", "%d", in_flight);
}

/* And has come to its end. */
void
sim_oracle_answered(SimRow *row, bool answered, bool reached, int status, int64 retry_after)
{
	SimHost    *host = row->endpoint->host;

	if (sim_verbose)
	{
		char		what[64];

		snprintf(what, sizeof(what), answered ? "answered with %d" : "not answered (%d)", status);
		trace(row, what);
	}
	row->sending = false;
	host->in_flight--;
	in_flight--;
	host->answers += answered || reached;
	row->status = status;
	row->answered_yes = answered && status / 100 == 2 && (!row->challenge || row->returned);
	row->answered_no = answered && !row->answered_yes;
	row->ended_at = sim_now;
	row->unsettled = true;
	row->answers = host->answers;
	row->wish = retry_after >= 0 ? sim_now + retry_after * SECOND : 0;
	if (row->answered_no && row->refused_first == 0)
		row->refused_first = sim_now;
}

/* Within what time a good endpoint gets a row. */
static KgwTicks
late_after(const SimRow *row)
{
	KgwTicks	timeouts = sim_world_silent() * kgw_settings.request_timeout * (SECOND / 1000) / Max(sim_scenario.in_flight / 2, 1);

	if (HAS(SLOW))
		return Max(LATE_BESIDE_SLOW, timeouts);
	if (row->acked_before > began_at && row->visible_at - row->acked_before < LATELY)
		return LATE;
	return LATE_UNPROVEN + timeouts;
}

static void
check_acknowledged(const SimRow *row)
{
	SimEndpoint *e = row->endpoint;
	KgwTicks	waited = sim_now - Max(row->visible_at, disturbed_at);

	if (!row->answered_yes)
		sim_wrong("wrongly acknowledged", "%ld, which was not", (long) row->id);
	e->acked_at = sim_now;
	if (!e->good || row->requeued || row->challenge || sim_all_paused)
		return;
	sim_counts.latest = Max(sim_counts.latest, waited);
	if (waited > late_after(row))
		sim_wrong("late", "%ld by %.3f s", (long) row->id, waited / 1e6);
}

static void
check_superseded(const SimRow *row, const KgwAttempt *attempt)
{
	/* another challenge has taken its place */
	if (row->challenge && row->endpoint->challenge != row->id)
		return;
	if (strncmp(attempt->error, "a newer status", 14) == 0)
	{
		if (!newer_was_acknowledged(row))
			sim_wrong("wrongly superseded", "%ld by nothing", (long) row->id);
		return;
	}
	if (!row->answered_no)
		sim_wrong("wrongly superseded", "%ld, which was not refused", (long) row->id);
	if (!has_newer(row))
		sim_wrong("wrongly superseded", "%ld, behind which nothing waits", (long) row->id);
	if (clock_was_steady(row->refused_first) &&
		sim_now - row->refused_first < kgw_settings.max_hold * INT64CONST(1000) - SECOND)
		sim_wrong("wrongly superseded", "%ld after %.3f s", (long) row->id,
				  (sim_now - row->refused_first) / 1e6);
}

static void
check_given_up(const SimRow *row, const KgwAttempt *attempt)
{
	int64		span = kgw_retry_schedule_span(kgw_settings.schedule);

	if (row->status == 410 && !attempt->not_made)
		return;
	if (attempt->not_made && clock_was_steady(row->visible_at) &&
		sim_now - row->visible_at < span)
		sim_wrong("wrongly given up", "%ld before its time", (long) row->id);
	if (!attempt->not_made && attempt->number - row->attempts_before <= kgw_settings.schedule->n)
		sim_wrong("wrongly given up", "%ld after %d attempts", (long) row->id,
				  attempt->number - row->attempts_before);
}

/* When it may be tried again, by the schedule; what takes no step of it changes nothing. */
static void
note_due(SimRow *row, const KgwSettlement *settlement)
{
	const KgwAttempt *attempt = settlement->attempt;
	int			step = attempt->number - row->attempts_before - 1;

	if (attempt->dropped || attempt->no_secret)
		row->due = 0;
	else if (!settlement->undone && step < kgw_settings.schedule->n)
		row->due = row->ended_at + kgw_settings.schedule->delay_us[step] * (1 - kgw_settings.retry_jitter) - 1000;
}

/* What has become of an attempt is written down. */
void
sim_oracle_settled(SimRow *row, const KgwSettlement *settlement)
{
	const KgwAttempt *attempt = settlement->attempt;

	trace(row, settlement->fate == KGW_FATE_RETRY ? "tried again" :
		  settlement->fate == KGW_FATE_DEAD ? "given up" : kgw_outcome_name(attempt->outcome));
	if (!row->present)
		sim_wrong("phantom", "%ld was settled and is not in the table", (long) row->id);
	row->unsettled = false;
	if (attempt->number != row->attempts + 1)
		sim_wrong("miscounted", "%ld", (long) row->id);
	switch (settlement->fate)
	{
		case KGW_FATE_DONE:
			if (attempt->outcome == KGW_SUPERSEDED)
			{
				sim_counts.superseded++;
				check_superseded(row, attempt);
				break;
			}
			sim_counts.acknowledged++;
			check_acknowledged(row);
			row->acked = true;
			break;
		case KGW_FATE_DEAD:
			sim_counts.dead++;
			check_given_up(row, attempt);
			break;
		case KGW_FATE_RETRY:
			sim_counts.retries++;
			if (attempt->outcome == KGW_ACKNOWLEDGED)
				sim_wrong("wrongly acknowledged", "%ld is tried again", (long) row->id);
			note_due(row, settlement);
			break;
	}
}

/* The worker has ended, with all that was under way, or not yet written down. */
void
sim_oracle_cut(void)
{
	for (int64 i = 1; i <= sim_rows(); i++)
	{
		SimRow	   *row = sim_row(i);

		if (row->unsettled)
			row->ended_at = 0;
		row->unsettled = false;
	}
	in_flight = 0;
	began_at = sim_now;
	sim_oracle_disturbed();
}

/* Everyone has acknowledged for longer than the schedule: nothing may be left. */
void
sim_oracle_end(void)
{
	for (int64 i = 1; i <= sim_rows(); i++)
		if (sim_row(i)->present)
			sim_wrong("lost", "%ld, after %d attempts", (long) i, sim_row(i)->attempts);
}
