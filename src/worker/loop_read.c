/*-------------------------------------------------------------------------
 *
 * loop_read.c
 *	  The reading in a worker's turn: what of the queue comes into memory.  When it
 *	  is due is loop_due.c's.
 *
 * Each read begins with the question whether this database is a copy, in the
 * same snapshot: what a restore has committed so far may be sent only if the
 * original's identity isn't among it.  A worker that has found a copy neither
 * reads nor sends until it is told to start over, as kg_adopt() does.
 *
 * When the queue can't be read for a reason that passes (an operator has locked
 * it), everything that isn't on its way is forgotten, because a read that broke
 * off may have missed what is older, and read from nothing after a pause.  What
 * is on its way is waited for and settled in the meantime.
 *
 * It runs in short transactions of its own, and must never be called while a
 * request is being handed to libcurl.
 *
 * src/worker/loop_read.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "pg/database_identity.h"
#include "pg/extension.h"
#include "pg/guc.h"
#include "pg/transaction.h"
#include "pg/version.h"
#include "secrets/secret_maintenance.h"
#include "shmem/point.h"
#include "shmem/worker_slots.h"
#include "worker/error_trap.h"
#include "worker/loop_internal.h"

/* Rows read at a time. */
#define READ_ROWS 256

/* After a read that could not be, the next one comes so much later. */
#define TROUBLE_PAUSE 1000000

/* A wall clock that falls back by more than this was set, microseconds. */
#define SET_BACK 1000000

/* Whether a destination is of this worker's shard. */
bool
kgw_loop_read_is_mine(const KgwLoop *loop, const char *destination)
{
	uint32		hash;

	if (kgw_settings.workers == 1)
		return true;
	hash = hash_bytes((const unsigned char *) destination, strlen(destination));
	return hash % kgw_settings.workers == (uint32) loop->shard;
}

static void
take_paused(const char *destination, void *arg)
{
	KgwLoop    *loop = arg;

	if (strcmp(destination, "*") == 0)
		kgw_backlog_pause(loop->scheduler, NULL);
	else if (kgw_loop_read_is_mine(loop, destination))
		kgw_backlog_pause(loop->scheduler, destination);
}

static void
take_backlog(const char *destination, void *arg)
{
	KgwLoop    *loop = arg;

	if (kgw_loop_read_is_mine(loop, destination))
		kgw_backlog_page_in(loop->scheduler, destination);
}

static void
take_overflow(const char *destination, int64 first, void *arg)
{
	KgwLoop    *loop = arg;

	if (kgw_loop_read_is_mine(loop, destination))
		kgw_backlog_overflow(loop->scheduler, destination, first);
}

static bool
take_arrival(KgwDelivery *row, void *arg)
{
	KgwLoop    *loop = arg;

	if (!kgw_loop_read_is_mine(loop, row->destination))
		pfree(row);
	else if (kgw_loop_due_stays(row))
		kgw_backlog_leave(loop->scheduler, row);
	else
	{
		kgw_loop_due_limits(loop, row);
		kgw_backlog_arrival(loop->scheduler, row, kgw_loop_due(loop, row),
							kgw_loop_due_expiry(loop, row));
	}
	return true;
}

static bool
take_paged(KgwDelivery *row, void *arg)
{
	KgwLoop    *loop = arg;

	if (!kgw_loop_due_stays(row))
	{
		kgw_loop_due_limits(loop, row);
		return kgw_backlog_paged(loop->scheduler, row, kgw_loop_due(loop, row),
								 kgw_loop_due_expiry(loop, row));
	}
	kgw_backlog_skip(loop->scheduler, row);
	return true;
}

static bool
take_fetched(KgwDelivery *row, void *arg)
{
	KgwLoop    *loop = arg;

	if (!kgw_loop_due_stays(row))
		return kgw_backlog_fetched(loop->scheduler, row, kgw_loop_due_expiry(loop, row));

	/* its entry, left without a row, is forgotten */
	kgw_backlog_leave(loop->scheduler, row);
	return true;
}

static void
read_clocks(KgwLoop *loop)
{
	int64		before = loop->offset;

	loop->wall = GetCurrentTimestamp();
	loop->now = kgw_clock_ticks();
	loop->offset = loop->wall - loop->now;
	if (before != 0 && loop->offset < before - SET_BACK)
		loop->set_back = true;
}

/* This database is a copy of another: send nothing, and say so once. */
static void
raise_fence(KgwLoop *loop, const char *original)
{
	if (loop->fenced)
		return;
	loop->fenced = true;
	if (kgw_worker_slots_worker_fenced(true) && !loop->told)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("kgwebhook sends nothing from database \"%s\": it is a copy",
						get_database_name(MyDatabaseId)),
				 errdetail("It was %s, and is database %u of system " UINT64_FORMAT ".",
						   original, MyDatabaseId, GetSystemIdentifier()),
				 errhint("If it takes the original's place, call kg_adopt() in it: "
						 "what is in its queue is then sent.")));
	loop->told = true;
}

/*
 * Begin to read, which kgw_queue_read_end() ends.  False when the extension isn't
 * there any more.
 */
bool
kgw_loop_read_begin(KgwLoop *loop)
{
	kgw_queue_read_begin();
	loop->unreported = true;
	read_clocks(loop);
	if (kgw_extension_hold() && kgw_extension_relation("queue") == loop->queue)
	{
		char	   *original = kgw_database_identity_foreign();

		if (original != NULL)
			raise_fence(loop, original);
		return true;
	}
	kgw_queue_read_end();
	return false;
}

/* The read is over; what it has met may be another's. */
static void
end_read(KgwLoop *loop)
{
	if (kgw_queue_read_met_foreign())
		raise_fence(loop, "given deliveries of another database");
	kgw_queue_read_end();
}

/* The queue can't be read now: forget what isn't on its way, and start over later. */
void
kgw_loop_read_stop(KgwLoop *loop)
{
	kgw_unload_all(loop->scheduler);
	loop->again_at = kgw_clock_ticks() + TROUBLE_PAUSE;
}

/* Find the queue of this database. */
static void
look_up_queue(void *arg)
{
	KgwLoop    *loop = arg;

	if (!OidIsValid(kgw_extension_oid()))
		return;
	kgw_version_require();
	kgw_version_remind();
	loop->queue = kgw_extension_relation("queue");
}

static void
read_from_nothing(void *arg)
{
	KgwLoop    *loop = arg;

	kgw_secret_maintenance_run();
	loop->there = kgw_loop_read_begin(loop);
	if (!loop->there)
		return;
	if (!loop->fenced)
	{
		kgw_worker_slots_worker_fenced(false);
		kgw_queue_read_paused(take_paused, loop);
		kgw_new_rows_start(&loop->arrivals, take_backlog, loop);
	}
	kgw_queue_read_end();
	loop->look = false;
	loop->looked_at = loop->now;
}

/*
 * Read the queue from nothing.  False when the database doesn't have the
 * extension.
 */
bool
kgw_loop_read_start(KgwLoop *loop)
{
	loop->again_at = KGW_NEVER;
	kgw_unload_all(loop->scheduler);
	loop->fenced = false;
	if (!OidIsValid(loop->queue))
		kgw_transaction_run("looking for kgwebhook.queue", look_up_queue, loop);
	loop->there = OidIsValid(loop->queue);
	if (!loop->there)
		return false;
	if (kgw_error_trap_passing(read_from_nothing, loop) != KGW_TRAP_DONE)
		kgw_loop_read_stop(loop);
	return loop->there;
}

static void
read_pages(KgwLoop *loop)
{
	const char *destination;
	int64		after;
	int			limit;

	/* a bounded number of destinations a turn, so that sending goes on */
	for (int i = 0; i < 16; i++)
	{
		destination = kgw_backlog_want_page(loop->scheduler, &after, &limit);
		if (destination == NULL)
			return;
		kgw_backlog_page_end(loop->scheduler, destination,
							   kgw_queue_read_destination(destination, after, limit,
														  take_paged, loop));
	}
}

static void
read_rows(KgwLoop *loop)
{
	int64		ids[READ_ROWS];
	int			count = kgw_backlog_want_rows(loop->scheduler, ids, READ_ROWS);

	if (count == 0)
		return;
	if (kgw_queue_read_ids(ids, count, take_fetched, loop))
		kgw_backlog_rows_end(loop->scheduler, ids, count);
}

/* Whether there is anything to read, and room for it. */
bool
kgw_loop_read_wants(const KgwLoop *loop, KgwTicks now)
{
	if (loop->again_at != KGW_NEVER)
		return false;
	if (loop->look &&
		(loop->in_flight == 0 || now - loop->looked_at >= KGW_ARRIVALS_PAUSE))
		return true;
	return kgw_scheduler_wants_to_read(loop->scheduler);
}

/* Read what there is room for. */
static void
read_queue(void *arg)
{
	KgwLoop    *loop = arg;

	loop->there = kgw_loop_read_begin(loop);
	if (!loop->there)
		return;

	if (!loop->fenced)
	{
		/* first, also when only a page is wanted: see queue_read.c */
		kgw_new_rows_read(&loop->arrivals, take_arrival, take_overflow, loop);
		loop->look = false;
		loop->looked_at = loop->now;
		read_pages(loop);
		read_rows(loop);
	}
	KGW_POINT("read");
	end_read(loop);
	KGW_POINT("flushed");
}

/* Read what there is room for; when that can't be now, start over after a pause. */
void
kgw_loop_read_run(KgwLoop *loop)
{
	if (kgw_error_trap_passing(read_queue, loop) != KGW_TRAP_DONE)
		kgw_loop_read_stop(loop);
}
