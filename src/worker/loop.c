/*-------------------------------------------------------------------------
 *
 * loop.c
 *	  One turn of a worker: read, send, collect, settle.
 *
 * The pieces know nothing of one another: the queue reads, the scheduler
 * remembers, the delivery signs, the transfer sends, the settling writes.  Here
 * they are joined, so that slots refill as they free: never a batch that waits
 * for its slowest.
 *
 * A transaction is open only while the queue is read or outcomes are settled,
 * never while a request is on the network: a slow receiver must not hold back
 * vacuum.  When and how the queue is read is loop_read.c's, whose turn it is and what
 * came back loop_send.c's.
 *
 * src/worker/loop.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/twophase.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "follow/follower.h"
#include "pg/guc.h"
#include "queue/replicated.h"
#include "schedule/invariants.h"
#include "secrets/key_file.h"
#include "secrets/secret_cache.h"
#include "secrets/secret_maintenance.h"
#include "secrets/undecryptable.h"
#include "send/network/ca_file.h"
#include "send/network/egress.h"
#include "settle/own_consent.h"
#include "settle/subscription_state.h"
#include "shmem/destination_stats.h"
#include "shmem/point.h"
#include "shmem/wakeups.h"
#include "worker/fd_limit.h"
#include "worker/loop_internal.h"

/* A transaction that may be committed unheard is looked at this often. */
#define UNHEARD_PAUSE 1000000

/* Whether the standbys have got what was read is looked at this often. */
#define REPLICATED_PAUSE 5000

/*
 * A third of the sockets is for requests, the rest for connections kept alive; where
 * there are fewer, a half.
 */
static void
set_limit(KgwLoop *loop)
{
	int			sockets = kgw_fd_limit_for(3 * kgw_settings.max_in_flight);

	loop->limit = Min(kgw_settings.max_in_flight, sockets / 2);
	kgw_scheduler_limit(loop->scheduler, loop->limit);
	kgw_http_client_limit(loop->http, loop->limit, sockets - loop->limit);
}

/* A loop that knows nothing yet, in the current memory context. */
KgwLoop *
kgw_loop_new(int shard)
{
	KgwLoop    *loop = palloc0(sizeof(KgwLoop));

	loop->shard = shard;
	loop->again_at = KGW_NEVER;
	loop->scheduler = kgw_scheduler_new();
	loop->http = kgw_http_client_new();
	loop->outcomes = kgw_loop_settle_new();
	loop->maintenance = kgw_maintenance_new(shard == 0);
	kgw_ca_file_look();
	kgw_egress_look();
	set_limit(loop);
	return loop;
}

/*
 * Start from nothing.  False when the database doesn't have the extension.
 */
bool
kgw_loop_start(KgwLoop *loop)
{
	loop->wakes = kgw_wakeups_count();
	for (int i = 0; i < KGW_CHANGES; i++)
		loop->changes[i] = kgw_wakeups_changes(i);
	kgw_secret_cache_forget();
	kgw_subscription_state_forget();
	kgw_own_consent_forget();
	if (!kgw_loop_read_start(loop))
		return false;
	if (loop->shard == 0)
		kgw_follower_ensure();
	return true;
}

/*
 * PostgreSQL puts off reporting statistics that come soon after the last ones.
 * A worker that goes to sleep would put them off for ever, and autovacuum would
 * not know what there is to do.
 */
static void
report_statistics(KgwLoop *loop)
{
	if (!loop->unreported || kgw_loop_busy(loop))
		return;
	pgstat_report_stat(true);
	loop->unreported = false;
}

/* Let others see what has changed of our destinations. */
static void
publish(KgwLoop *loop)
{
	KgwDestinationState state;
	KgwNotice	notice;

	while (kgw_scheduler_changed(loop->scheduler, &state))
	{
		/* what has no destination is invalid and is never tried */
		if (state.name[0] == '\0')
			continue;
		strlcpy(notice.destination, state.name, sizeof(notice.destination));
		notice.backing_off = state.backing_off;
		notice.in_flight = state.in_flight;
		notice.failures = state.failures;
		notice.last_success = state.last_success;
		notice.posted_at = GetCurrentTimestamp();
		notice.next_try = notice.posted_at + (state.next_try - kgw_clock_ticks());
		kgw_destination_stats_post(&notice);
		KGW_POINT("published");
	}
}

/* Whether requests are under way, or could be at once. */
static bool
goes_on(const KgwLoop *loop)
{
	return loop->in_flight > 0 ||
		(kgw_loop_send_has_room(loop) && kgw_scheduler_can_send(loop->scheduler)) ||
		(kgw_loop_send_allowed(loop) && kgw_loop_read_wants(loop, kgw_clock_ticks()));
}

/*
 * Write down what has been concluded; that it is durable may be found later while there is
 * something else to do.
 */
static void
settle_outcomes(KgwLoop *loop, bool later)
{
	kgw_maintenance_before_log(loop->maintenance);
	kgw_loop_settle_settle(loop->outcomes, loop->scheduler, later);
	loop->unreported = true;
}

/* Whether someone has changed what we remember, and nothing was done about it. */
static bool
is_out_of_date(const KgwLoop *loop)
{
	for (int i = 0; i < KGW_CHANGES; i++)
	{
		if (loop->changes[i] != kgw_wakeups_changes(i))
			return true;
	}
	return false;
}

/*
 * Take in what others have changed: queued rows by starting from the table again,
 * all else by itself.  False when the database doesn't have the extension.
 */
static bool
catch_up(KgwLoop *loop)
{
	/* first what was judged by what is out of date */
	if (kgw_loop_settle_count(loop->outcomes) > 0)
		settle_outcomes(loop, false);
	if (loop->changes[KGW_CHANGED_ALL] != kgw_wakeups_changes(KGW_CHANGED_ALL))
		return kgw_loop_start(loop);
	for (int i = 0; i < KGW_CHANGES && loop->there; i++)
	{
		uint32		changes = kgw_wakeups_changes(i);

		/* noted first: what comes while it is read comes again */
		if (loop->changes[i] == changes)
			continue;
		loop->changes[i] = changes;
		kgw_loop_changed(loop, i);
	}
	return loop->there;
}

/* Whether commits have called since we last listened. */
static void
listen_to_commits(KgwLoop *loop)
{
	uint32		wakes = kgw_wakeups_count();

	if (wakes != loop->wakes)
		loop->look = true;
	loop->wakes = wakes;
}

/*
 * One turn, without waiting.  False when the database doesn't have the extension
 * any more.
 */
bool
kgw_loop_turn(KgwLoop *loop)
{
	bool		more;

	if (loop->again_at == KGW_NEVER)
	{
		if (is_out_of_date(loop) && !catch_up(loop))
			return false;
	}
	else if (loop->again_at <= kgw_clock_ticks() && !kgw_loop_start(loop))
		return false;
	listen_to_commits(loop);
	kgw_loop_settle_finish(loop->outcomes, loop->scheduler, !goes_on(loop));
	kgw_scheduler_tick(loop->scheduler, kgw_clock_ticks());
	kgw_scheduler_hanging(loop->scheduler, kgw_http_client_hanging(loop->http));
	if (kgw_loop_send_allowed(loop) && kgw_loop_read_wants(loop, kgw_clock_ticks()))
		kgw_loop_read_run(loop);
	if (!loop->there)
		return false;
	kgw_loop_send_run(loop);
	kgw_http_client_run(loop->http);
	if (loop->in_flight > 0)
		KGW_POINT("sent");
	kgw_loop_send_collect(loop);
	more = goes_on(loop);
	if (kgw_loop_settle_ready(loop->outcomes, kgw_clock_ticks(), !more))
		settle_outcomes(loop, more);
	if (!loop->fenced && kgw_maintenance_due(loop->maintenance) <= kgw_clock_ticks())
	{
		kgw_maintenance_run(loop->maintenance);
		loop->unreported = true;
	}
	if (kgw_secret_cache_retired() || kgw_secret_maintenance_due() <= kgw_clock_ticks())
		kgw_secret_maintenance_run();
	publish(loop);
	report_statistics(loop);
	kgw_invariants_check(loop->scheduler);
	kgw_loop_settle_check(loop->outcomes);
	return true;
}

/*
 * What was in progress at the last look may be committed unheard, if it can be
 * prepared.  When it has to be looked after next; at the first time that it has
 * ended, a look is due.
 */
static KgwTicks
watch_unheard(KgwLoop *loop, KgwTicks now)
{
	KgwTicks	due = loop->looked_at + UNHEARD_PAUSE;

	if (max_prepared_xacts == 0 || !kgw_new_rows_unended(&loop->arrivals))
		return KGW_NEVER;
	if (due > now)
		return due;
	if (!kgw_new_rows_ended_unseen(&loop->arrivals))
		return now + UNHEARD_PAUSE;
	loop->look = true;
	return now;
}

/*
 * When the next turn has to come at the latest; KGW_NEVER when only a commit
 * or the network can give it something to do.
 */
KgwTicks
kgw_loop_deadline(KgwLoop *loop)
{
	KgwTicks	now = kgw_clock_ticks();
	KgwTicks	chores = Min(kgw_maintenance_due(loop->maintenance), kgw_secret_maintenance_due());
	KgwTicks	unasked = Min(kgw_http_client_deadline(loop->http),
							  Min(kgw_loop_settle_due(loop->outcomes), chores));
	KgwTicks	deadline = Min(unasked, kgw_scheduler_due(loop->scheduler));

	if (loop->again_at != KGW_NEVER)
		return Min(deadline, loop->again_at);

	/* a call that came during the turn may have been taken for another's */
	if (is_out_of_date(loop))
		return now;
	listen_to_commits(loop);
	deadline = Min(deadline, watch_unheard(loop, now));
	if (loop->fenced)
		return Min(kgw_secret_maintenance_due(),
				   Min(kgw_http_client_deadline(loop->http), kgw_loop_settle_due(loop->outcomes)));
	if (!kgw_settings.enabled)
		return unasked;
	if (!kgw_replicated_reached())
		return Min(unasked, now + REPLICATED_PAUSE);
	if (loop->look)
		deadline = Min(deadline, Max(now, loop->looked_at + KGW_ARRIVALS_PAUSE));
	if (kgw_loop_read_wants(loop, now) ||
		(kgw_loop_send_has_room(loop) && kgw_scheduler_can_send(loop->scheduler)))
		deadline = now;
	return deadline;
}

/* Readable when the network has something for the next turn. */
int
kgw_loop_fd(const KgwLoop *loop)
{
	return kgw_http_client_fd(loop->http);
}

int
kgw_loop_in_flight(const KgwLoop *loop)
{
	return loop->in_flight;
}

/* Whether nothing is sent because this database is a copy. */
bool
kgw_loop_fenced(const KgwLoop *loop)
{
	return loop->fenced;
}

/* Whether anything is under way. */
bool
kgw_loop_busy(const KgwLoop *loop)
{
	return loop->in_flight > 0 || kgw_loop_settle_count(loop->outcomes) > 0;
}

/* The configuration was read again. */
void
kgw_loop_settings_changed(KgwLoop *loop)
{
	/* new handles, so that no option of the old settings lives on in one */
	kgw_http_client_renew(loop->http);
	kgw_ca_file_look();
	kgw_egress_look();
	set_limit(loop);
	loop->look = true;
	kgw_scheduler_limits_changed(loop->scheduler);

	/* a key file that is new or fixed: encrypt, and see who waits for it */
	if (kgw_key_file_set() || kgw_undecryptable_met())
		loop->changes[KGW_CHANGED_SECRETS] = kgw_wakeups_changes(KGW_CHANGED_SECRETS) - 1;
	kgw_secret_cache_forget();
}
