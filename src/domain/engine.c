/*-------------------------------------------------------------------------
 *
 * engine.c
 *	  One turn of a worker: read, send, collect, settle.
 *
 * The pieces know nothing of one another: the queue reads, the scheduler
 * remembers, the delivery signs, the transfer sends, the settling writes.  Here
 * they are joined, so that slots refill as they free: never a batch that waits
 * for its slowest.
 *
 * A transaction is open only while the queue is read or outcomes are settled,
 * never while a request is on the network: a slow receiver must not hold back
 * vacuum.
 *
 * Each read begins with the question whether this database is a copy, in the
 * same snapshot: what a restore has committed so far may be sent only if the
 * original's identity isn't among it.  A worker that has found a copy neither
 * reads nor sends until it is told to start over, as kg_adopt() does.
 *
 * When the queue can't be read for a reason that passes (an operator has locked
 * it), everything that isn't on its way is forgotten, because a read that broke
 * off may have missed what is older, and read from nothing after a pause.  What
 * is on its way is waited for and settled meanwhile.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/twophase.h"
#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "domain/delivery.h"
#include "domain/engine.h"
#include "domain/http.h"
#include "domain/ledger.h"
#include "domain/queue.h"
#include "domain/scheduler.h"
#include "domain/trust.h"
#include "domain/upkeep.h"
#include "pure/retry.h"
#include "services/board.h"
#include "services/custody.h"
#include "services/descriptors.h"
#include "services/guard.h"
#include "services/instance.h"
#include "services/keyfile.h"
#include "services/owner.h"
#include "services/secrets.h"
#include "services/settings.h"
#include "services/shared.h"
#include "services/version.h"

/* Rows read at a time. */
#define READ_ROWS 256

/* While requests are in flight, arrivals are looked for this often at most. */
#define ARRIVALS_PAUSE 1000

/* After a read that could not be, the next one comes so much later. */
#define TROUBLE_PAUSE 1000000

/* A wall clock that falls back by more than this was set, microseconds. */
#define SET_BACK 1000000

/* A transaction that may be committed unheard is looked at this often. */
#define UNHEARD_PAUSE 1000000

struct KgwEngine
{
	int			shard;
	Oid			queue;			/* kgwebhook.queue, when the engine started */
	KgwScheduler *scheduler;
	KgwHttp    *http;
	KgwLedger *ledger;
	KgwUpkeep  *upkeep;
	KgwArrivals arrivals;
	bool		look;			/* something may have arrived */
	KgwTicks	looked_at;
	KgwTicks	again_at;		/* start over then: the queue could not be read */
	bool		there;			/* the database has the extension */
	uint32		wakes;			/* as of the last time that we listened */
	uint32		reloads;		/* as of the last start */
	bool		fenced;			/* this is a copy that nobody has adopted */
	bool		told;			/* that was logged, and nothing was sent since */
	bool		unreported;		/* there may be statistics to report */
	int			in_flight;
	int			limit;			/* of it: the setting, or what descriptors allow */

	/* of the read that is going on */
	TimestampTz wall;
	KgwTicks	now;

	/* of the wall clock */
	int64		offset;			/* how far it was ahead of the monotonic one; 0 = unknown */
	bool		set_back;		/* since this engine began */
};

/* Half of the sockets are for requests, half for connections kept alive. */
static void
set_limit(KgwEngine *engine)
{
	int			sockets = kgw_descriptors_for(2 * kgw_settings.max_in_flight);

	engine->limit = Min(kgw_settings.max_in_flight, sockets / 2);
	kgw_scheduler_limit(engine->scheduler, engine->limit);
	kgw_http_keep(engine->http, sockets / 2);
}

/* An engine that knows nothing yet, in the current memory context. */
KgwEngine *
kgw_engine_new(int shard)
{
	KgwEngine  *engine = palloc0(sizeof(KgwEngine));

	engine->shard = shard;
	engine->again_at = KGW_NEVER;
	engine->scheduler = kgw_scheduler_new();
	engine->http = kgw_http_new();
	engine->ledger = kgw_ledger_new();
	engine->upkeep = kgw_upkeep_new(shard == 0);
	set_limit(engine);
	kgw_trust_look();
	return engine;
}

static bool
is_mine(const KgwEngine *engine, const char *destination)
{
	uint32		hash;

	if (kgw_settings.workers == 1)
		return true;
	hash = hash_bytes((const unsigned char *) destination, strlen(destination));
	return hash % kgw_settings.workers == (uint32) engine->shard;
}

/*
 * When the clock has been set back, times in the table may be far too late, by as
 * much.  Nothing waits longer for that than its schedule has it wait.
 */
static TimestampTz
latest_attempt_at(const KgwEngine *engine, const KgwRow *row)
{
	int64		pause;

	if (!engine->set_back && row->enqueued_at <= engine->wall)
		return row->next_attempt_at;
	pause = kgw_schedule_delay(kgw_settings.schedule, Max(row->attempts, 1),
							   kgw_settings.retry_jitter, 1);
	return Min(row->next_attempt_at, engine->wall + Max(pause, 0));
}

/* When a row may be sent, by the monotonic clock. */
static KgwTicks
due_of(const KgwEngine *engine, const KgwRow *row)
{
	/* one that waits for a secret is due as soon as there is one */
	if (TIMESTAMP_IS_NOEND(row->next_attempt_at))
	{
		const KgwKeyring *keyring = kgw_secrets_known(row->org_id);

		if (keyring == NULL)
			keyring = kgw_secrets_load(row->org_id);
		return keyring->fault == NULL ? KGW_OVERDUE : KGW_NEVER;
	}

	/* nobody has put it off yet, so it is due, whatever the clock has done since */
	if (row->attempts == 0 && row->next_attempt_at <= row->enqueued_at)
		return KGW_OVERDUE;
	return kgw_clock_due(latest_attempt_at(engine, row), engine->wall, engine->now);
}

/*
 * When a delivery has had its time, by the monotonic clock: the whole span of
 * the schedule at its longest.
 */
static KgwTicks
expiry_of(const KgwEngine *engine, const KgwRow *row)
{
	int64		span = kgw_schedule_span(kgw_settings.schedule) * (1 + kgw_settings.retry_jitter);

	return kgw_clock_due(row->enqueued_at + span, engine->wall, engine->now);
}

static void
take_paused(const char *destination, void *arg)
{
	KgwEngine  *engine = arg;

	if (strcmp(destination, "*") == 0)
		kgw_scheduler_pause(engine->scheduler, NULL);
	else if (is_mine(engine, destination))
		kgw_scheduler_pause(engine->scheduler, destination);
}

static void
take_backlog(const char *destination, void *arg)
{
	KgwEngine  *engine = arg;

	if (is_mine(engine, destination))
		kgw_scheduler_backlog(engine->scheduler, destination);
}

static void
take_arrival(KgwRow *row, void *arg)
{
	KgwEngine  *engine = arg;

	if (is_mine(engine, row->destination))
		kgw_scheduler_arrival(engine->scheduler, row, due_of(engine, row),
							  expiry_of(engine, row));
	else
		pfree(row);
}

static void
take_paged(KgwRow *row, void *arg)
{
	KgwEngine  *engine = arg;

	kgw_scheduler_paged(engine->scheduler, row, due_of(engine, row), expiry_of(engine, row));
}

static void
take_fetched(KgwRow *row, void *arg)
{
	KgwEngine  *engine = arg;

	kgw_scheduler_fetched(engine->scheduler, row, expiry_of(engine, row));
}

static void
read_clocks(KgwEngine *engine)
{
	int64		before = engine->offset;

	engine->wall = GetCurrentTimestamp();
	engine->now = kgw_clock_ticks();
	engine->offset = engine->wall - engine->now;
	if (before != 0 && engine->offset < before - SET_BACK)
		engine->set_back = true;
}

/* This database is a copy of another: send nothing, and say so once. */
static void
raise_fence(KgwEngine *engine, const char *original)
{
	if (engine->fenced)
		return;
	engine->fenced = true;
	if (kgw_shared_worker_fenced(true) && !engine->told)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("kgwebhook sends nothing from database \"%s\": it is a copy",
						get_database_name(MyDatabaseId)),
				 errdetail("It was %s, and is database %u of system " UINT64_FORMAT ".",
						   original, MyDatabaseId, GetSystemIdentifier()),
				 errhint("If it takes the original's place, call kg_adopt() in it: "
						 "what is in its queue is then sent.")));
	engine->told = true;
}

/* Begin to read.  False when the extension isn't there any more. */
static bool
begin_read(KgwEngine *engine)
{
	kgw_queue_begin();
	engine->unreported = true;
	read_clocks(engine);
	if (kgw_extension_hold() && kgw_relation_oid("queue") == engine->queue)
	{
		char	   *original = kgw_instance_foreign();

		if (original != NULL)
			raise_fence(engine, original);
		return true;
	}
	kgw_queue_end();
	return false;
}

/* The read is over; what it has met may be another's. */
static void
end_read(KgwEngine *engine)
{
	if (kgw_queue_met_foreign())
		raise_fence(engine, "given deliveries of another database");
	kgw_queue_end();
}

/* The queue can't be read now. */
static void
stop_reading(KgwEngine *engine)
{
	kgw_scheduler_forget(engine->scheduler);
	engine->again_at = kgw_clock_ticks() + TROUBLE_PAUSE;
}

/* Find the queue of this database, once. */
static void
find_queue(KgwEngine *engine)
{
	if (OidIsValid(engine->queue))
		return;
	StartTransactionCommand();
	if (OidIsValid(kgw_extension_oid()))
	{
		kgw_version_require();
		kgw_version_remind();
		engine->queue = kgw_relation_oid("queue");
	}
	CommitTransactionCommand();
}

static void
read_from_nothing(void *arg)
{
	KgwEngine  *engine = arg;

	kgw_custody_run();
	engine->there = begin_read(engine);
	if (!engine->there)
		return;
	if (!engine->fenced)
	{
		kgw_shared_worker_fenced(false);
		kgw_queue_read_paused(take_paused, engine);
		kgw_queue_start(&engine->arrivals, take_backlog, engine);
	}
	kgw_queue_end();
	engine->look = false;
}

/*
 * Read the queue from nothing.  False when the database doesn't have the
 * extension.
 */
bool
kgw_engine_start(KgwEngine *engine)
{
	engine->wakes = kgw_shared_wakes();
	engine->reloads = kgw_shared_reloads();
	engine->again_at = KGW_NEVER;
	kgw_secrets_forget();
	kgw_scheduler_forget(engine->scheduler);
	engine->fenced = false;
	find_queue(engine);
	engine->there = OidIsValid(engine->queue);
	if (!engine->there)
		return false;
	if (kgw_guard_passing(read_from_nothing, engine) != KGW_GUARDED_DONE)
		stop_reading(engine);
	return engine->there;
}

static void
read_pages(KgwEngine *engine)
{
	const char *destination;
	int64		after;
	int			limit;

	/* a bounded number of destinations a turn, so that sending goes on */
	for (int i = 0; i < 16; i++)
	{
		destination = kgw_scheduler_want_page(engine->scheduler, &after, &limit);
		if (destination == NULL)
			return;
		kgw_scheduler_page_end(engine->scheduler, destination,
							   kgw_queue_read_destination(destination, after, limit,
														  take_paged, engine) == limit);
	}
}

static void
read_rows(KgwEngine *engine)
{
	int64		ids[READ_ROWS];
	int			count = kgw_scheduler_want_rows(engine->scheduler, ids, READ_ROWS);

	if (count == 0)
		return;
	kgw_queue_read_ids(ids, count, take_fetched, engine);
	kgw_scheduler_rows_end(engine->scheduler, ids, count);
}

static bool
wants_to_read(KgwEngine *engine, KgwTicks now)
{
	if (engine->again_at != KGW_NEVER)
		return false;
	if (engine->look &&
		(engine->in_flight == 0 || now - engine->looked_at >= ARRIVALS_PAUSE))
		return true;
	return kgw_scheduler_wants_to_read(engine->scheduler);
}

/* Read what there is room for. */
static void
read_queue(void *arg)
{
	KgwEngine  *engine = arg;

	engine->there = begin_read(engine);
	if (!engine->there)
		return;

	if (!engine->fenced)
	{
		/* first, also when only a page is wanted: see queue.c */
		kgw_queue_read_arrivals(&engine->arrivals, READ_ROWS, take_arrival, take_backlog,
								engine);
		engine->look = false;
		engine->looked_at = engine->now;
		read_pages(engine);
		read_rows(engine);
	}
	end_read(engine);
}

typedef struct KgwKeyringWanted
{
	const char *org_id;
	const KgwKeyring *keyring;
} KgwKeyringWanted;

static void
load_keyring(void *arg)
{
	KgwKeyringWanted *wanted = arg;

	kgw_queue_begin();
	wanted->keyring = kgw_secrets_load(wanted->org_id);
	kgw_queue_end();
}

/* What signs a row that is about to be sent; NULL when that can't be read now. */
static const KgwKeyring *
keyring_for(const KgwRow *row)
{
	KgwKeyringWanted wanted = {row->org_id, kgw_secrets_known(row->org_id)};

	if (wanted.keyring == NULL &&
		kgw_guard_passing(load_keyring, &wanted) != KGW_GUARDED_DONE)
		return NULL;
	return wanted.keyring;
}

/* An attempt has come to its end; what it means is decided and kept. */
static void
conclude(KgwEngine *engine, KgwJob *job)
{
	kgw_scheduler_concluded(engine->scheduler, job->entry, kgw_attempt_sign(&job->attempt));
	kgw_ledger_conclude(engine->ledger, job, kgw_clock_ticks());
}

/* Begin an attempt; true when its request is on its way. */
static bool
send_attempt(KgwEngine *engine, KgwJob *job, const KgwKeyring *keyring)
{
	KgwRequest	request;

	if (!kgw_attempt_prepare(&job->attempt, job->row, keyring))
		return false;
	kgw_attempt_request(&job->attempt, job->row, &request);
	if (kgw_http_send(engine->http, &request, job))
		return true;
	kgw_attempt_abandon(&job->attempt, "out of memory");
	return false;
}

/* A turn that can't be taken after all. */
static void
give_back(KgwEngine *engine, KgwEntry *entry)
{
	kgw_scheduler_concluded(engine->scheduler, entry, KGW_SIGN_NONE);
	kgw_scheduler_retry(engine->scheduler, entry, KGW_OVERDUE);
	stop_reading(engine);
}

static void
take_turn(KgwEngine *engine, KgwEntry *entry, KgwTurn turn)
{
	const KgwKeyring *keyring = NULL;
	KgwJob	   *job;

	if (turn == KGW_TURN_SEND)
	{
		keyring = keyring_for(kgw_scheduler_row(entry));
		if (keyring == NULL)
		{
			give_back(engine, entry);
			return;
		}
	}
	job = kgw_ledger_begin(engine->ledger, entry, kgw_scheduler_row(entry));
	switch (turn)
	{
		case KGW_TURN_SEND:
			if (send_attempt(engine, job, keyring))
			{
				engine->told = false;
				engine->in_flight++;
				return;
			}
			break;
		case KGW_TURN_SUPERSEDE:
			kgw_attempt_supersede(&job->attempt, job->row);
			break;
		case KGW_TURN_EXPIRE:
			kgw_attempt_expire(&job->attempt, job->row);
			break;
	}
	conclude(engine, job);
}

static void
collect(KgwEngine *engine)
{
	KgwTransfer *transfer;
	KgwResponse response;
	void	   *owner;

	while ((transfer = kgw_http_next(engine->http, &owner, &response)) != NULL)
	{
		KgwJob *job = owner;

		kgw_attempt_conclude(&job->attempt, &response);
		kgw_http_release(engine->http, transfer);
		engine->in_flight--;
		conclude(engine, job);
	}
}

/* Whether attempts may be made at all. */
static bool
may_work(const KgwEngine *engine)
{
	return kgw_settings.enabled && !engine->fenced;
}

static bool
may_send(const KgwEngine *engine)
{
	return may_work(engine) &&
		engine->in_flight < engine->limit &&
		!kgw_ledger_full(engine->ledger);
}

/* Send as much as limits and memory allow. */
static void
send_ready(KgwEngine *engine)
{
	KgwEntry   *entry;
	KgwTurn		turn;

	while (may_send(engine) &&
		   (entry = kgw_scheduler_next(engine->scheduler, &turn)) != NULL)
		take_turn(engine, entry, turn);
}

/*
 * PostgreSQL puts off reporting statistics that come soon after the last ones.
 * A worker that goes to sleep would put them off for ever, and autovacuum would
 * not know what there is to do.
 */
static void
report_statistics(KgwEngine *engine)
{
	if (!engine->unreported || kgw_engine_busy(engine))
		return;
	pgstat_report_stat(true);
	engine->unreported = false;
}

/* Let others see what has changed of our destinations. */
static void
publish(KgwEngine *engine)
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
		notice.next_try = GetCurrentTimestamp() + (state.next_try - kgw_clock_ticks());
		kgw_board_post(&notice);
	}
}

/* Write down what has been concluded. */
static void
settle(KgwEngine *engine)
{
	kgw_upkeep_before_log(engine->upkeep);
	kgw_ledger_settle(engine->ledger, engine->scheduler);
	engine->unreported = true;
}

/* Somebody has changed secrets or queued rows: start from the table again. */
static bool
start_over(KgwEngine *engine)
{
	/* first what was judged by what is out of date */
	if (kgw_ledger_count(engine->ledger) > 0)
		settle(engine);
	return kgw_engine_start(engine);
}

/* Whether commits have called since we last listened. */
static void
listen_to_commits(KgwEngine *engine)
{
	uint32		wakes = kgw_shared_wakes();

	if (wakes != engine->wakes)
		engine->look = true;
	engine->wakes = wakes;
}

/*
 * One turn, without waiting.  False when the database doesn't have the extension
 * any more.
 */
bool
kgw_engine_turn(KgwEngine *engine)
{
	if (engine->again_at == KGW_NEVER)
	{
		if (engine->reloads != kgw_shared_reloads() && !start_over(engine))
			return false;
	}
	else if (engine->again_at <= kgw_clock_ticks() && !kgw_engine_start(engine))
		return false;
	listen_to_commits(engine);
	kgw_scheduler_tick(engine->scheduler, kgw_clock_ticks());
	kgw_scheduler_hanging(engine->scheduler, kgw_http_hanging(engine->http));
	if (may_work(engine) && wants_to_read(engine, kgw_clock_ticks()) &&
		kgw_guard_passing(read_queue, engine) != KGW_GUARDED_DONE)
		stop_reading(engine);
	if (!engine->there)
		return false;
	send_ready(engine);
	kgw_http_run(engine->http);
	collect(engine);
	if (kgw_ledger_ready(engine->ledger, kgw_clock_ticks(), engine->in_flight == 0))
		settle(engine);
	if (!engine->fenced && kgw_upkeep_due(engine->upkeep) <= kgw_clock_ticks())
	{
		kgw_upkeep_run(engine->upkeep);
		engine->unreported = true;
	}
	if (kgw_secrets_retired())
		kgw_custody_run();
	publish(engine);
	report_statistics(engine);
	return true;
}

/*
 * When the next turn has to come at the latest; KGW_NEVER when only a commit
 * or the network can give it something to do.
 */
KgwTicks
kgw_engine_deadline(KgwEngine *engine)
{
	KgwTicks	now = kgw_clock_ticks();
	KgwTicks	unasked = Min(kgw_http_deadline(engine->http),
							  Min(kgw_ledger_due(engine->ledger), kgw_upkeep_due(engine->upkeep)));
	KgwTicks	deadline = Min(unasked, kgw_scheduler_due(engine->scheduler));

	if (engine->again_at != KGW_NEVER)
		return Min(deadline, engine->again_at);

	/* a call that came during the turn may have been taken for another's */
	if (engine->reloads != kgw_shared_reloads())
		return now;
	listen_to_commits(engine);
	if (max_prepared_xacts > 0 && engine->arrivals.xip_count > 0)
	{
		if (kgw_queue_ended_unseen(&engine->arrivals))
			engine->look = true;
		else
			deadline = Min(deadline, now + UNHEARD_PAUSE);
	}
	if (engine->fenced)
		return Min(kgw_http_deadline(engine->http), kgw_ledger_due(engine->ledger));
	if (!kgw_settings.enabled)
		return unasked;
	if (engine->look)
		deadline = Min(deadline, Max(now, engine->looked_at + ARRIVALS_PAUSE));
	if (wants_to_read(engine, now) ||
		(may_send(engine) && kgw_scheduler_can_send(engine->scheduler)))
		deadline = now;
	return deadline;
}

/* Readable when the network has something for the next turn. */
int
kgw_engine_fd(const KgwEngine *engine)
{
	return kgw_http_fd(engine->http);
}

int
kgw_engine_in_flight(const KgwEngine *engine)
{
	return engine->in_flight;
}

/* Whether nothing is sent because this database is a copy. */
bool
kgw_engine_fenced(const KgwEngine *engine)
{
	return engine->fenced;
}

/* Whether anything is under way. */
bool
kgw_engine_busy(const KgwEngine *engine)
{
	return engine->in_flight > 0 || kgw_ledger_count(engine->ledger) > 0;
}

/* The configuration was read again. */
void
kgw_engine_settings_changed(KgwEngine *engine)
{
	/* new handles, so that no option of the old settings lives on in one */
	kgw_http_trim(engine->http, 0);
	kgw_trust_look();
	set_limit(engine);
	engine->look = true;
	kgw_scheduler_limits_changed(engine->scheduler);

	/* a key file that is new or mended: encrypt, and see who waits for it */
	if (kgw_keyfile_set() || kgw_secrets_unreadable())
		engine->reloads = kgw_shared_reloads() - 1;
	kgw_secrets_forget();
}
