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
 *				   named (kgw_worker_slots_want)
 *	   (no slot) ─────────────────────► WANTED
 *			▲							 │ start_workers
 *			│ forget					 ▼
 *			└──────────────────────── STARTED ◄──┐
 *			  absent: a worker found	 │		 │ start_workers, after
 *			  no extension				 ▼		 │ a growing pause
 *									   ended ────┘ note_end
 *
 * Besides, it flushes WAL for workers that go on sending in the meantime (wal_flusher.c).
 *
 * Nothing of a database is ever locked or read here: the launcher connects to
 * none, and so never stands in the way of DROP DATABASE.
 *
 * src/worker/launcher.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "pg/clock.h"
#include "pg/databases.h"
#include "pg/guc.h"
#include "shmem/wal_flusher.h"
#include "shmem/worker_slots.h"
#include "worker/launcher.h"
#include "worker/worker.h"

/* The pause after a worker's end: doubles from the one to the other. */
#define PAUSE_MIN ((KgwTicks) 1000000)
#define PAUSE_MAX ((KgwTicks) 60000000)

/* A worker that ran this long had no part in an error loop. */
#define GOOD_RUN ((KgwTicks) 60000000)

/* At server start a database that doesn't reply keeps others waiting so long. */
#define PROBE_PATIENCE ((KgwTicks) 5000000)

/* When there was no room for a worker, another attempt comes after this. */
#define ROOM_PAUSE ((KgwTicks) 5000000)

typedef struct KgwSupervised
{
	Oid			dboid;			/* InvalidOid = slot not in use */
	BackgroundWorkerHandle *handle[KGW_MAX_SHARDS];
	KgwTicks	started_at[KGW_MAX_SHARDS];
	KgwTicks	start_at[KGW_MAX_SHARDS];	/* not before this */
	KgwTicks	pause[KGW_MAX_SHARDS];
	bool		starved;		/* the server had no room for a worker */
} KgwSupervised;

/* This process's view of the slots in shared memory, by slot. */
static KgwSupervised supervised[KGW_MAX_DATABASES];

/*
 * Databases still to be looked into, which of them is being looked into since
 * when, and whether complaints were logged.
 */
static List *unprobed = NIL;
static Oid	probed;
static KgwTicks probed_at;
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

/* Take up what shared memory says of a slot. */
static void
adopt_slot(int slot)
{
	Oid			dboid = kgw_worker_slots_database(slot);

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
	if (kgw_worker_slots_worker_runs(slot, shard))
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

/* The server has no room: said once, until nobody is without a worker for it. */
static void
note_no_room(int slot, const char *database)
{
	supervised[slot].starved = true;
	if (!told_no_room)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no background worker is free for kgwebhook"),
				 errdetail("Deliveries of database \"%s\", and perhaps of others, wait until one is.",
						   database),
				 errhint("Increase \"max_worker_processes\" and restart the server.")));
	told_no_room = true;
}

static void
note_room(int slot)
{
	supervised[slot].starved = false;
	for (int i = 0; i < KGW_MAX_DATABASES; i++)
	{
		if (supervised[i].starved)
			return;
	}
	told_no_room = false;
}

/* Start a worker; false when the database can't have any. */
static bool
start_worker(int slot, int shard, KgwTicks now)
{
	KgwSupervised *database = &supervised[slot];
	NameData	name;

	/* a process that asks for it from here on undoes this */
	kgw_worker_slots_set_absent(slot);
	if (!kgw_databases_serves(database->dboid, &name))
		return false;
	(void) kgw_worker_slots_want(database->dboid);

	if (kgw_worker_register(slot, shard, database->dboid, &database->handle[shard]))
	{
		database->started_at[shard] = now;
		note_room(slot);
		return true;
	}
	database->handle[shard] = NULL;
	database->start_at[shard] = now + ROOM_PAUSE;
	note_no_room(slot, NameStr(name));
	return true;
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
		if (database->start_at[shard] <= now && !start_worker(slot, shard, now))
			return;

		/* the others follow when the first has found the extension */
		if (!kgw_worker_slots_present(slot))
			return;
	}
}

/* Nobody is wanted there: let the slot go as soon as nobody is there. */
static void
forget(int slot)
{
	for (int shard = 0; shard < KGW_MAX_SHARDS; shard++)
	{
		if (has_process(slot, shard))
			return;
	}
	if (!kgw_worker_slots_forget(slot))
		return;
	for (int shard = 0; shard < KGW_MAX_SHARDS; shard++)
	{
		if (supervised[slot].handle[shard] != NULL)
			pfree(supervised[slot].handle[shard]);
	}
	note_room(slot);
	memset(&supervised[slot], 0, sizeof(KgwSupervised));
}

static void
supervise(KgwTicks now)
{
	for (int slot = 0; slot < KGW_MAX_DATABASES; slot++)
	{
		adopt_slot(slot);
		if (!OidIsValid(supervised[slot].dboid))
			continue;
		if (!kgw_worker_slots_absent(slot) && !kgw_worker_slots_closed(slot))
			start_workers(slot, now);
		if (kgw_worker_slots_absent(slot))
			forget(slot);
	}
}

/* Whether the database that was named last is still to be heard of. */
static bool
is_probing(KgwTicks now)
{
	bool		unheard = false;

	for (int slot = 0; slot < KGW_MAX_DATABASES; slot++)
	{
		if (supervised[slot].starved)
			return true;
		if (OidIsValid(probed) && supervised[slot].dboid == probed)
			unheard = !kgw_worker_slots_present(slot);
	}
	return unheard && now - probed_at < PROBE_PATIENCE;
}

/* Name the next database that nobody has looked into since server start. */
static void
probe_next(KgwTicks now)
{
	if (unprobed == NIL || is_probing(now))
		return;
	if (kgw_worker_slots_want(linitial_oid(unprobed)) < 0)
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
	probed = linitial_oid(unprobed);
	probed_at = now;
	unprobed = list_delete_first(unprobed);
}

/* When the launcher has to look again without being called. */
static KgwTicks
next_look(KgwTicks now)
{
	KgwTicks	next = unprobed != NIL ? now + PROBE_PATIENCE : KGW_NEVER;

	for (int slot = 0; slot < KGW_MAX_DATABASES; slot++)
	{
		for (int shard = 0; shard < kgw_settings.workers; shard++)
		{
			if (OidIsValid(supervised[slot].dboid) && !has_process(slot, shard) &&
				!kgw_worker_slots_closed(slot))
				next = Min(next, Max(supervised[slot].start_at[shard], now + 10000));
			if (!kgw_worker_slots_present(slot))
				break;
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
	kgw_worker_slots_launcher_attach();
	unprobed = kgw_databases_list();
	for (;;)
	{
		KgwTicks	now = kgw_clock_ticks();

		/* without the FATAL, and with the code that has it started again */
		if (ProcDiePending)
			proc_exit(1);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		kgw_wal_flusher_serve();
		probe_next(now);
		supervise(now);
		sleep_until(next_look(now));
	}
}
