/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  Finds the databases that have the extension, and keeps their workers
 *	  running.
 *
 * Whether a database has the extension can only be seen from inside it.  So at
 * server start each database gets a worker, one after the other, which leaves
 * again when it finds nothing; later, CREATE EXTENSION and every commit that
 * enqueues without a worker name their database in shared memory.
 *
 * The life of a database here, one function for each arrow:
 *
 *				   named (kgw_shared_want)
 *	   (no slot) ─────────────────────► WANTED
 *			▲							 │ start_workers
 *			│ forget					 ▼
 *			└──────────────────────── STARTED ◄──┐
 *			  absent: a worker found	 │		 │ start_workers, after
 *			  no extension				 ▼		 │ a growing pause
 *									   ended ────┘ note_end
 *
 * Nothing of a database is ever locked or read here: the launcher connects to
 * none, and so never stands in the way of DROP DATABASE.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "processes/launcher.h"
#include "processes/worker.h"
#include "services/clock.h"
#include "services/shared.h"

/* The pause after a worker's end: doubles from the one to the other. */
#define PAUSE_MIN ((KgwTicks) 1000000)
#define PAUSE_MAX ((KgwTicks) 60000000)

/* A worker that ran this long had no part in an error loop. */
#define GOOD_RUN ((KgwTicks) 60000000)

/* Databases that are looked into at server start wait this long for a reply. */
#define PROBE_CHECK ((KgwTicks) 5000000)

typedef struct KgwSupervised
{
	Oid			dboid;			/* InvalidOid = slot not in use */
	BackgroundWorkerHandle *handle[KGW_MAX_SHARDS];
	KgwTicks	started_at[KGW_MAX_SHARDS];
	KgwTicks	start_at[KGW_MAX_SHARDS];	/* not before this */
	KgwTicks	pause[KGW_MAX_SHARDS];
} KgwSupervised;

/* This process's view of the slots in shared memory, by slot. */
static KgwSupervised supervised[KGW_MAX_DATABASES];

/* Databases still to be looked into, and whether complaints were logged. */
static List *unprobed = NIL;
static bool told_no_room;
static bool told_no_slot;

/*
 * Have the server start the launcher.  Called from _PG_init while libraries
 * are preloaded.
 */
void
kgw_launcher_register(void)
{
	BackgroundWorker launcher = {0};

	strlcpy(launcher.bgw_name, "kgwebhook launcher", BGW_MAXLEN);
	strlcpy(launcher.bgw_type, "kgwebhook launcher", BGW_MAXLEN);
	strlcpy(launcher.bgw_library_name, "kgwebhook", BGW_MAXLEN);
	strlcpy(launcher.bgw_function_name, "kgw_launcher_main", BGW_MAXLEN);
	launcher.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	launcher.bgw_start_time = BgWorkerStart_RecoveryFinished;
	launcher.bgw_restart_time = 5;
	RegisterBackgroundWorker(&launcher);
}

/* All databases that can be connected to and aren't templates. */
static List *
list_databases(void)
{
	List	   *list = NIL;
	MemoryContext keep = CurrentMemoryContext;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext scratch;

		if (!form->datallowconn || form->datistemplate)
			continue;
		scratch = MemoryContextSwitchTo(keep);
		list = lappend_oid(list, form->oid);
		MemoryContextSwitchTo(scratch);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(keep);
	return list;
}

/* Take up what shared memory says of a slot. */
static void
adopt_slot(int slot)
{
	Oid			dboid = kgw_shared_database(slot);

	if (supervised[slot].dboid == dboid)
		return;
	memset(&supervised[slot], 0, sizeof(KgwSupervised));
	supervised[slot].dboid = dboid;
}

static bool
has_process(int slot, int shard)
{
	KgwSupervised *database = &supervised[slot];
	pid_t		pid;

	/* one that a launcher before us started has no handle */
	if (kgw_shared_worker_runs(slot, shard))
		return true;
	if (database->handle[shard] == NULL)
		return false;
	return GetBackgroundWorkerPid(database->handle[shard], &pid) != BGWH_STOPPED;
}

/* A worker that was started has ended: when may the next one be started? */
static void
note_end(int slot, int shard, KgwTicks now)
{
	KgwSupervised *database = &supervised[slot];

	pfree(database->handle[shard]);
	database->handle[shard] = NULL;
	if (now - database->started_at[shard] >= GOOD_RUN)
		database->pause[shard] = 0;
	database->start_at[shard] = now + database->pause[shard];
	database->pause[shard] = Min(Max(database->pause[shard] * 2, PAUSE_MIN), PAUSE_MAX);
}

static void
start_worker(int slot, int shard, KgwTicks now)
{
	KgwSupervised *database = &supervised[slot];

	if (kgw_worker_register(slot, shard, database->dboid, &database->handle[shard]))
	{
		database->started_at[shard] = now;
		told_no_room = false;
		return;
	}
	database->handle[shard] = NULL;
	database->start_at[shard] = now + PAUSE_MAX / 6;
	if (!told_no_room)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no background worker is free for kgwebhook"),
				 errdetail("Database %u has deliveries that wait.", database->dboid),
				 errhint("Increase max_worker_processes.")));
	told_no_room = true;
}

/* Start what should run of a database and doesn't. */
static void
start_workers(int slot, KgwTicks now)
{
	KgwSupervised *database = &supervised[slot];

	for (int shard = 0; shard < kgw_settings.workers; shard++)
	{
		if (has_process(slot, shard))
			continue;
		if (database->handle[shard] != NULL)
			note_end(slot, shard, now);
		if (database->start_at[shard] <= now)
			start_worker(slot, shard, now);

		/* the others follow when the first has found the extension */
		if (shard == 0 && !kgw_shared_worker_runs(slot, 0))
			return;
	}
}

/* The database has no extension: let its slot go as soon as nobody is there. */
static void
forget(int slot)
{
	for (int shard = 0; shard < KGW_MAX_SHARDS; shard++)
	{
		if (has_process(slot, shard))
			return;
	}
	for (int shard = 0; shard < KGW_MAX_SHARDS; shard++)
	{
		if (supervised[slot].handle[shard] != NULL)
			pfree(supervised[slot].handle[shard]);
	}
	kgw_shared_forget(slot);
	memset(&supervised[slot], 0, sizeof(KgwSupervised));
}

/*
 * Whether a database whose worker ends again and again has been dropped: its
 * worker dies before it can say so.
 */
static bool
is_gone(int slot, KgwTicks now)
{
	KgwSupervised *database = &supervised[slot];

	if (database->pause[0] <= PAUSE_MIN || database->start_at[0] > now || has_process(slot, 0))
		return false;
	return !list_member_oid(list_databases(), database->dboid);
}

static void
supervise(KgwTicks now)
{
	for (int slot = 0; slot < KGW_MAX_DATABASES; slot++)
	{
		adopt_slot(slot);
		if (!OidIsValid(supervised[slot].dboid))
			continue;
		if (kgw_shared_absent(slot) || is_gone(slot, now))
			forget(slot);
		else if (!kgw_shared_closed(slot))
			start_workers(slot, now);
	}
}

/* Name the next database that nobody has looked into since server start. */
static void
probe_next(void)
{
	while (unprobed != NIL)
	{
		if (kgw_shared_want(linitial_oid(unprobed)) < 0)
		{
			if (!told_no_slot)
				ereport(WARNING,
						(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						 errmsg("too many databases have kgwebhook"),
						 errdetail("At most %d databases of a server can have workers.",
								   KGW_MAX_DATABASES)));
			told_no_slot = true;
			return;
		}
		unprobed = list_delete_first(unprobed);
		return;
	}
}

/* When the launcher has to look again without being called. */
static KgwTicks
next_look(KgwTicks now)
{
	KgwTicks	next = unprobed != NIL ? now + PROBE_CHECK : KGW_NEVER;

	for (int slot = 0; slot < KGW_MAX_DATABASES; slot++)
	{
		for (int shard = 0; shard < kgw_settings.workers; shard++)
		{
			if (OidIsValid(supervised[slot].dboid) && !has_process(slot, shard) &&
				!kgw_shared_closed(slot))
				next = Min(next, Max(supervised[slot].start_at[shard], now + 10000));
		}
	}
	return next;
}

static void
sleep_until(KgwTicks next)
{
	KgwTicks	now = kgw_clock_ticks();
	int			events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;
	long		timeout = -1;

	if (next != KGW_NEVER)
	{
		events |= WL_TIMEOUT;
		timeout = next <= now ? 0 : (long) ((next - now + 999) / 1000);
	}
	(void) WaitLatch(MyLatch, events, timeout, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

/*
 * Entry point of the process.
 */
void
kgw_launcher_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	CurrentMemoryContext = AllocSetContextCreate(TopMemoryContext, "kgwebhook launcher",
												 ALLOCSET_DEFAULT_SIZES);
	kgw_shared_launcher_attach();
	unprobed = list_databases();
	for (;;)
	{
		KgwTicks	now = kgw_clock_ticks();

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		probe_next();
		supervise(now);
		sleep_until(next_look(now));
	}
}
