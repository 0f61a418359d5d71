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

#include "pg/guc.h"
#include "schedule/invariants.h"
#include "secrets/key_file.h"
#include "secrets/secret_cache.h"
#include "secrets/secret_maintenance.h"
#include "send/ca_file.h"
#include "send/fd_limit.h"
#include "settle/subscription_state.h"
#include "shmem/destination_stats.h"
#include "shmem/wakeups.h"
#include "worker/loop_internal.h"

/* A transaction that may be committed unheard is looked at this often. */
#define UNHEARD_PAUSE 1000000

/* Half of the sockets are for requests, half for connections kept alive. */
static void
set_limit(KgwLoop *engine)
{
	int			sockets = kgw_fd_limit_for(2 * kgw_settings.max_in_flight);

	engine->limit = Min(kgw_settings.max_in_flight, sockets / 2);
	kgw_scheduler_limit(engine->scheduler, engine->limit);
	kgw_http_client_keep(engine->http, sockets / 2);
}

/* An engine that knows nothing yet, in the current memory context. */
KgwLoop *
kgw_loop_new(int shard)
{
	KgwLoop  *engine = palloc0(sizeof(KgwLoop));

	engine->shard = shard;
	engine->again_at = KGW_NEVER;
	engine->scheduler = kgw_scheduler_new();
	engine->http = kgw_http_client_new();
	engine->ledger = kgw_loop_settle_new();
	engine->upkeep = kgw_maintenance_new(shard == 0);
	set_limit(engine);
	kgw_ca_file_look();
	return engine;
}

/*
 * Start from nothing.  False when the database doesn't have the extension.
 */
bool
kgw_loop_start(KgwLoop *engine)
{
	engine->wakes = kgw_wakeups_count();
	for (int i = 0; i < KGW_CHANGES; i++)
		engine->changes[i] = kgw_wakeups_changes(i);
	kgw_secret_cache_forget();
	kgw_subscription_state_forget();
	return kgw_loop_read_start(engine);
}

/*
 * PostgreSQL puts off reporting statistics that come soon after the last ones.
 * A worker that goes to sleep would put them off for ever, and autovacuum would
 * not know what there is to do.
 */
static void
report_statistics(KgwLoop *engine)
{
	if (!engine->unreported || kgw_loop_busy(engine))
		return;
	pgstat_report_stat(true);
	engine->unreported = false;
}

/* Let others see what has changed of our destinations. */
static void
publish(KgwLoop *engine)
{
	KgwDestinationState state;
	KgwNotice	notice;

	while (kgw_scheduler_changed(engine->scheduler, &state))
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
	}
}

/* Write down what has been concluded. */
static void
settle(KgwLoop *engine)
{
	kgw_maintenance_before_log(engine->upkeep);
	kgw_loop_settle_settle(engine->ledger, engine->scheduler);
	engine->unreported = true;
}

/* Whether someone has changed what we remember, and nothing was done about it. */
static bool
is_out_of_date(const KgwLoop *engine)
{
	for (int i = 0; i < KGW_CHANGES; i++)
	{
		if (engine->changes[i] != kgw_wakeups_changes(i))
			return true;
	}
	return false;
}

/*
 * Take in what others have changed: queued rows by starting from the table again,
 * all else by itself.  False when the database doesn't have the extension.
 */
static bool
catch_up(KgwLoop *engine)
{
	/* first what was judged by what is out of date */
	if (kgw_loop_settle_count(engine->ledger) > 0)
		settle(engine);
	if (engine->changes[KGW_CHANGED_ALL] != kgw_wakeups_changes(KGW_CHANGED_ALL))
		return kgw_loop_start(engine);
	for (int i = 0; i < KGW_CHANGES && engine->there; i++)
	{
		uint32		changes = kgw_wakeups_changes(i);

		/* noted first: what comes while it is read comes again */
		if (engine->changes[i] == changes)
			continue;
		engine->changes[i] = changes;
		kgw_loop_read_changed(engine, i);
	}
	return engine->there;
}

/* Whether commits have called since we last listened. */
static void
listen_to_commits(KgwLoop *engine)
{
	uint32		wakes = kgw_wakeups_count();

	if (wakes != engine->wakes)
		engine->look = true;
	engine->wakes = wakes;
}

/*
 * One turn, without waiting.  False when the database doesn't have the extension
 * any more.
 */
bool
kgw_loop_turn(KgwLoop *engine)
{
	if (engine->again_at == KGW_NEVER)
	{
		if (is_out_of_date(engine) && !catch_up(engine))
			return false;
	}
	else if (engine->again_at <= kgw_clock_ticks() && !kgw_loop_start(engine))
		return false;
	listen_to_commits(engine);
	kgw_scheduler_tick(engine->scheduler, kgw_clock_ticks());
	kgw_scheduler_hanging(engine->scheduler, kgw_http_client_hanging(engine->http));
	if (kgw_loop_send_allowed(engine) && kgw_loop_read_wants(engine, kgw_clock_ticks()))
		kgw_loop_read_run(engine);
	if (!engine->there)
		return false;
	kgw_loop_send_run(engine);
	kgw_http_client_run(engine->http);
	kgw_loop_send_collect(engine);
	if (kgw_loop_settle_ready(engine->ledger, kgw_clock_ticks(), engine->in_flight == 0))
		settle(engine);
	if (!engine->fenced && kgw_maintenance_due(engine->upkeep) <= kgw_clock_ticks())
	{
		kgw_maintenance_run(engine->upkeep);
		engine->unreported = true;
	}
	if (kgw_secret_cache_retired() || kgw_secret_maintenance_due() <= kgw_clock_ticks())
		kgw_secret_maintenance_run();
	publish(engine);
	report_statistics(engine);
	kgw_invariants_check(engine->scheduler);
	kgw_loop_settle_check(engine->ledger);
	return true;
}

/*
 * What was in progress at the last look may be committed unheard, if it can be
 * prepared.  When it has to be looked after next; at the first time that it has
 * ended, a look is due.
 */
static KgwTicks
watch_unheard(KgwLoop *engine, KgwTicks now)
{
	KgwTicks	due = engine->looked_at + UNHEARD_PAUSE;

	if (max_prepared_xacts == 0 || !kgw_new_rows_unended(&engine->arrivals))
		return KGW_NEVER;
	if (due > now)
		return due;
	if (!kgw_new_rows_ended_unseen(&engine->arrivals))
		return now + UNHEARD_PAUSE;
	engine->look = true;
	return now;
}

/*
 * When the next turn has to come at the latest; KGW_NEVER when only a commit
 * or the network can give it something to do.
 */
KgwTicks
kgw_loop_deadline(KgwLoop *engine)
{
	KgwTicks	now = kgw_clock_ticks();
	KgwTicks	chores = Min(kgw_maintenance_due(engine->upkeep), kgw_secret_maintenance_due());
	KgwTicks	unasked = Min(kgw_http_client_deadline(engine->http),
							  Min(kgw_loop_settle_due(engine->ledger), chores));
	KgwTicks	deadline = Min(unasked, kgw_scheduler_due(engine->scheduler));

	if (engine->again_at != KGW_NEVER)
		return Min(deadline, engine->again_at);

	/* a call that came during the turn may have been taken for another's */
	if (is_out_of_date(engine))
		return now;
	listen_to_commits(engine);
	deadline = Min(deadline, watch_unheard(engine, now));
	if (engine->fenced)
		return Min(kgw_secret_maintenance_due(),
				   Min(kgw_http_client_deadline(engine->http), kgw_loop_settle_due(engine->ledger)));
	if (!kgw_settings.enabled)
		return unasked;
	if (engine->look)
		deadline = Min(deadline, Max(now, engine->looked_at + KGW_ARRIVALS_PAUSE));
	if (kgw_loop_read_wants(engine, now) ||
		(kgw_loop_send_has_room(engine) && kgw_scheduler_can_send(engine->scheduler)))
		deadline = now;
	return deadline;
}

/* Readable when the network has something for the next turn. */
int
kgw_loop_fd(const KgwLoop *engine)
{
	return kgw_http_client_fd(engine->http);
}

int
kgw_loop_in_flight(const KgwLoop *engine)
{
	return engine->in_flight;
}

/* Whether nothing is sent because this database is a copy. */
bool
kgw_loop_fenced(const KgwLoop *engine)
{
	return engine->fenced;
}

/* Whether anything is under way. */
bool
kgw_loop_busy(const KgwLoop *engine)
{
	return engine->in_flight > 0 || kgw_loop_settle_count(engine->ledger) > 0;
}

/* The configuration was read again. */
void
kgw_loop_settings_changed(KgwLoop *engine)
{
	/* new handles, so that no option of the old settings lives on in one */
	kgw_http_client_trim(engine->http, 0);
	kgw_ca_file_look();
	set_limit(engine);
	engine->look = true;
	kgw_scheduler_limits_changed(engine->scheduler);

	/* a key file that is new or fixed: encrypt, and see who waits for it */
	if (kgw_key_file_set() || kgw_secret_cache_unreadable())
		engine->changes[KGW_CHANGED_SECRETS] = kgw_wakeups_changes(KGW_CHANGED_SECRETS) - 1;
	kgw_secret_cache_forget();
}
