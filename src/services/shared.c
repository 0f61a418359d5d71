/*-------------------------------------------------------------------------
 *
 * shared.c
 *	  Shared memory: who runs, who has to wake, and what has been counted.
 *
 * One slot a database, made when the launcher or a committing backend first
 * speaks of it.  A slot holds the latches of its workers, so that the commit of
 * an enqueuing transaction wakes them without a lookup, a signal handler or a
 * table.  Only plain values and pointers into shared memory (a PGPROC's latch)
 * live here; nothing process-local ever may: a pointer of one process in
 * another's hands is a crash of the whole server.
 *
 * Without shared_preload_libraries none of this exists.  Every function that
 * a backend calls then does nothing, and events simply wait in the queue.
 *
 * Counters are atomics and are never reset while the server runs; they may run
 * ahead of a transaction that is about to be seen, never behind by more than a
 * moment.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "services/board.h"
#include "services/shared.h"

typedef struct KgwWorkerSlot
{
	pid_t		pid;			/* 0 = not running */
	bool		leave;			/* is to end, and may come back */
	Latch	   *latch;			/* of its PGPROC, hence shared memory */
	pg_atomic_uint32 in_flight;
	pg_atomic_uint32 busy;
	pg_atomic_uint32 deaf;		/* needn't hear of arrivals */
	bool		fenced;			/* has found that its database is a copy */
} KgwWorkerSlot;

typedef struct KgwDatabaseSlot
{
	Oid			dboid;			/* InvalidOid = free */
	bool		present;		/* a worker found the extension there */
	bool		absent;			/* nobody is wanted there */
	int			closed;			/* statements that keep workers away */
	pg_atomic_uint32 wakes;		/* how often commits have called workers */
	pg_atomic_uint32 reloads;	/* how often workers were told to start over */
	pg_atomic_uint64 enqueued;
	pg_atomic_uint64 outcomes[KGW_OUTCOMES];
	char		last_error[KGW_ERROR_SIZE];
	TimestampTz last_error_at;
	KgwWorkerSlot workers[KGW_MAX_SHARDS];
} KgwDatabaseSlot;

typedef struct KgwShared
{
	LWLock	   *lock;			/* guards all but the atomics */
	TimestampTz since;
	Latch	   *launcher;		/* NULL = not running */
	KgwDatabaseSlot databases[KGW_MAX_DATABASES];
} KgwShared;

static KgwShared *shared;
static shmem_request_hook_type previous_request_hook;
static shmem_startup_hook_type previous_startup_hook;

/* The slot and shard of this process, when it is a worker. */
static KgwDatabaseSlot *my_database;
static KgwWorkerSlot *my_worker;

/* What kgw_shared_wakes() said last. */
static uint32 wakes_seen;

const char *
kgw_outcome_name(KgwOutcome outcome)
{
	static const char *const names[KGW_OUTCOMES] = {
		"acknowledged", "rejected", "timed_out", "unreachable", "blocked",
		"invalid", "superseded"
	};

	return names[outcome];
}

static void
init_database_slot(KgwDatabaseSlot *database, Oid dboid)
{
	memset(database, 0, sizeof(*database));
	database->dboid = dboid;
	pg_atomic_init_u32(&database->wakes, 0);
	pg_atomic_init_u32(&database->reloads, 0);
	pg_atomic_init_u64(&database->enqueued, 0);
	for (int i = 0; i < KGW_OUTCOMES; i++)
		pg_atomic_init_u64(&database->outcomes[i], 0);
	for (int i = 0; i < KGW_MAX_SHARDS; i++)
	{
		pg_atomic_init_u32(&database->workers[i].in_flight, 0);
		pg_atomic_init_u32(&database->workers[i].busy, 0);
		pg_atomic_init_u32(&database->workers[i].deaf, 0);
	}
}

static void
request_shmem(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(KgwShared)));
	RequestNamedLWLockTranche("kgwebhook", 1);
	kgw_board_request();
}

static void
startup_shmem(void)
{
	bool		found;

	if (previous_startup_hook)
		previous_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("kgwebhook", sizeof(KgwShared), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(KgwShared));
		shared->lock = &(GetNamedLWLockTranche("kgwebhook"))->lock;
		shared->since = GetCurrentTimestamp();
		for (int i = 0; i < KGW_MAX_DATABASES; i++)
			init_database_slot(&shared->databases[i], InvalidOid);
	}
	kgw_board_startup();
	LWLockRelease(AddinShmemInitLock);
}

/*
 * Reserve the shared memory.  Called from _PG_init while the server loads its
 * preloaded libraries, and never otherwise.
 */
void
kgw_shared_request(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}

/* Whether the library was preloaded, so that workers can exist at all. */
bool
kgw_shared_ready(void)
{
	return shared != NULL;
}

/* The slot of a database, or NULL.  The caller holds the lock. */
static KgwDatabaseSlot *
find_database(Oid dboid)
{
	for (int i = 0; i < KGW_MAX_DATABASES; i++)
	{
		if (shared->databases[i].dboid == dboid)
			return &shared->databases[i];
	}
	return NULL;
}

/*
 * Find or make a database's slot and mark it wanted.  The caller holds the
 * lock exclusively.  NULL when all slots are taken.
 */
static KgwDatabaseSlot *
want_database(Oid dboid)
{
	KgwDatabaseSlot *database = find_database(dboid);

	if (database == NULL)
	{
		database = find_database(InvalidOid);
		if (database == NULL)
			return NULL;
		init_database_slot(database, dboid);
	}
	database->absent = false;
	return database;
}

/*
 * Wake this database's workers: something is new in its queue or in what
 * they hold in memory.  A database that has no worker is brought to the
 * launcher's attention.  "enqueued" is added to the counter; "reload" tells
 * the workers that what they hold in memory (rows, secrets) is out of date.
 *
 * Called after a commit, when nothing may fail any more: it doesn't allocate
 * and raises nothing.
 */
void
kgw_shared_wake(uint64 enqueued, bool reload)
{
	KgwDatabaseSlot *database;
	bool		running = false;

	if (shared == NULL)
		return;

	LWLockAcquire(shared->lock, LW_SHARED);
	database = find_database(MyDatabaseId);
	if (database != NULL)
	{
		pg_atomic_fetch_add_u64(&database->enqueued, enqueued);
		if (reload)
			pg_atomic_fetch_add_u32(&database->reloads, 1);
		pg_atomic_fetch_add_u32(&database->wakes, 1);
		for (int i = 0; i < KGW_MAX_SHARDS; i++)
		{
			if (database->workers[i].pid == 0)
				continue;
			running = true;
			if (reload || pg_atomic_read_u32(&database->workers[i].deaf) == 0)
				SetLatch(database->workers[i].latch);
		}
	}
	if (database != NULL && database->absent)
		running = false;		/* they are about to go */
	LWLockRelease(shared->lock);
	if (running)
		return;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (database == NULL)
	{
		database = want_database(MyDatabaseId);
		if (database != NULL)
			pg_atomic_fetch_add_u64(&database->enqueued, enqueued);
	}
	else
		want_database(MyDatabaseId);
	if (shared->launcher != NULL)
		SetLatch(shared->launcher);
	LWLockRelease(shared->lock);
}

/*
 * Send a database's workers away and keep them away until
 * kgw_shared_let_return().  False, with nothing done, when there are none.
 */
bool
kgw_shared_send_away(Oid dboid)
{
	KgwDatabaseSlot *database;

	if (shared == NULL)
		return false;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	database = find_database(dboid);
	if (database != NULL)
	{
		database->closed++;
		for (int i = 0; i < KGW_MAX_SHARDS; i++)
		{
			if (database->workers[i].pid != 0)
				SetLatch(database->workers[i].latch);
		}
	}
	LWLockRelease(shared->lock);
	return database != NULL;
}

/* How many workers a database has. */
int
kgw_shared_workers_of(Oid dboid)
{
	KgwSnapshot snapshot;

	kgw_shared_snapshot(dboid, &snapshot);
	return snapshot.workers;
}

/* What kgw_shared_send_away() began is over; "gone" if the database is. */
void
kgw_shared_let_return(Oid dboid, bool gone)
{
	KgwDatabaseSlot *database;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	database = find_database(dboid);
	if (database != NULL)
	{
		database->closed--;
		database->absent |= gone;
	}
	if (shared->launcher != NULL)
		SetLatch(shared->launcher);
	LWLockRelease(shared->lock);
}

/*
 * Copy out a database's numbers; all zero when it has no slot.  False when
 * the library isn't preloaded.
 */
bool
kgw_shared_snapshot(Oid dboid, KgwSnapshot *snapshot)
{
	KgwDatabaseSlot *database;

	memset(snapshot, 0, sizeof(*snapshot));
	if (shared == NULL)
		return false;

	LWLockAcquire(shared->lock, LW_SHARED);
	snapshot->since = shared->since;
	database = find_database(dboid);
	if (database != NULL)
	{
		snapshot->enqueued = pg_atomic_read_u64(&database->enqueued);
		for (int i = 0; i < KGW_OUTCOMES; i++)
			snapshot->outcomes[i] = pg_atomic_read_u64(&database->outcomes[i]);
		for (int i = 0; i < KGW_MAX_SHARDS; i++)
		{
			KgwWorkerSlot *worker = &database->workers[i];

			if (worker->pid == 0)
				continue;
			snapshot->workers++;
			snapshot->in_flight += pg_atomic_read_u32(&worker->in_flight);
			snapshot->busy |= pg_atomic_read_u32(&worker->busy) != 0;
			snapshot->fenced |= worker->fenced;
		}
		strlcpy(snapshot->last_error, database->last_error, KGW_ERROR_SIZE);
		snapshot->last_error_at = database->last_error_at;
	}
	LWLockRelease(shared->lock);
	return true;
}

static void
launcher_detach(int code, Datum arg)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->launcher = NULL;
	LWLockRelease(shared->lock);
}

/* Make this process the launcher that backends wake. */
void
kgw_shared_launcher_attach(void)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->launcher = &MyProc->procLatch;
	LWLockRelease(shared->lock);
	before_shmem_exit(launcher_detach, (Datum) 0);
}

/* The number of a database's slot, made if need be; -1 when all are taken. */
int
kgw_shared_want(Oid dboid)
{
	KgwDatabaseSlot *database;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	database = want_database(dboid);
	LWLockRelease(shared->lock);
	return database == NULL ? -1 : (int) (database - shared->databases);
}

/* Have a database looked into, and its workers begin anew: it may have changed. */
void
kgw_shared_look_again(Oid dboid)
{
	KgwDatabaseSlot *database;

	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	database = want_database(dboid);
	for (int i = 0; database != NULL && i < KGW_MAX_SHARDS; i++)
	{
		if (database->workers[i].pid == 0)
			continue;
		database->workers[i].leave = true;
		SetLatch(database->workers[i].latch);
	}
	if (shared->launcher != NULL)
		SetLatch(shared->launcher);
	LWLockRelease(shared->lock);
}

/* Nobody is wanted in a slot's database, unless somebody asks for it again. */
void
kgw_shared_set_absent(int slot)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->databases[slot].absent = true;
	LWLockRelease(shared->lock);
}

/*
 * Free a slot whose database has no worker and needs none.  False, with nothing
 * done, when somebody has asked for it meanwhile or a statement keeps it closed.
 */
bool
kgw_shared_forget(int slot)
{
	KgwDatabaseSlot *database = &shared->databases[slot];
	bool		unused;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	unused = database->absent && database->closed == 0;
	if (unused)
		init_database_slot(database, InvalidOid);
	LWLockRelease(shared->lock);
	return unused;
}

/* The database of a slot; InvalidOid when the slot is free. */
Oid
kgw_shared_database(int slot)
{
	Oid			dboid;

	LWLockAcquire(shared->lock, LW_SHARED);
	dboid = shared->databases[slot].dboid;
	LWLockRelease(shared->lock);
	return dboid;
}

bool
kgw_shared_worker_runs(int slot, int shard)
{
	bool		runs;

	LWLockAcquire(shared->lock, LW_SHARED);
	runs = shared->databases[slot].workers[shard].pid != 0;
	LWLockRelease(shared->lock);
	return runs;
}

/*
 * Whether nobody is wanted in the database, for want of the extension or of the
 * database itself, and nobody has asked for it since.
 */
bool
kgw_shared_absent(int slot)
{
	bool		absent;

	LWLockAcquire(shared->lock, LW_SHARED);
	absent = shared->databases[slot].absent;
	LWLockRelease(shared->lock);
	return absent;
}

/* Whether a worker found the extension in the slot's database. */
bool
kgw_shared_present(int slot)
{
	bool		present;

	LWLockAcquire(shared->lock, LW_SHARED);
	present = shared->databases[slot].present;
	LWLockRelease(shared->lock);
	return present;
}

/* Whether a statement keeps the workers of a slot away. */
bool
kgw_shared_closed(int slot)
{
	bool		closed;

	LWLockAcquire(shared->lock, LW_SHARED);
	closed = shared->databases[slot].closed > 0;
	LWLockRelease(shared->lock);
	return closed;
}

static void
worker_detach(int code, Datum arg)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	my_worker->pid = 0;
	my_worker->fenced = false;
	my_worker->latch = NULL;
	my_worker->leave = false;
	pg_atomic_write_u32(&my_worker->in_flight, 0);
	pg_atomic_write_u32(&my_worker->busy, 0);
	pg_atomic_write_u32(&my_worker->deaf, 0);
	if (shared->launcher != NULL)
		SetLatch(shared->launcher);
	LWLockRelease(shared->lock);
}

/* Make this process the worker of a shard, whom commits wake. */
void
kgw_shared_worker_attach(int slot, int shard)
{
	my_database = &shared->databases[slot];
	my_worker = &my_database->workers[shard];

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	my_worker->latch = &MyProc->procLatch;
	my_worker->pid = MyProcPid;
	my_worker->leave = false;
	if (shared->launcher != NULL)
		SetLatch(shared->launcher);
	LWLockRelease(shared->lock);
	before_shmem_exit(worker_detach, (Datum) 0);
}

/* Report that the database of this worker has the extension. */
void
kgw_shared_worker_present(void)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	my_database->present = true;
	LWLockRelease(shared->lock);
}

/*
 * Report that it doesn't, unless a commit has called since we last listened: it
 * may have been CREATE EXTENSION, and somebody has to look again.
 */
void
kgw_shared_worker_absent(void)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (pg_atomic_read_u32(&my_database->wakes) == wakes_seen)
		my_database->absent = true;
	LWLockRelease(shared->lock);
}

/* Whether this worker has been sent away. */
bool
kgw_shared_worker_dismissed(void)
{
	bool		dismissed;

	LWLockAcquire(shared->lock, LW_SHARED);
	dismissed = my_database->closed > 0 || my_worker->leave;
	LWLockRelease(shared->lock);
	return dismissed;
}

/*
 * Publish what this worker is doing.  One that is "deaf" isn't woken by
 * arrivals: it has to look for them before it is to hear of them again.
 */
void
kgw_shared_worker_state(int in_flight, bool busy, bool deaf)
{
	pg_atomic_write_u32(&my_worker->deaf, deaf);
	pg_atomic_write_u32(&my_worker->in_flight, in_flight);
	pg_atomic_write_u32(&my_worker->busy, busy);

	/* whoever took us for deaf has counted a wake-up that we read after this */
	pg_memory_barrier();
}

/*
 * Publish whether this worker has found that its database is a copy.  True when
 * none of the database's workers had said so before.
 */
bool
kgw_shared_worker_fenced(bool fenced)
{
	bool		known = false;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < KGW_MAX_SHARDS; i++)
		known |= my_database->workers[i].fenced;
	my_worker->fenced = fenced;
	LWLockRelease(shared->lock);
	return fenced && !known;
}

/*
 * Changes whenever a commit calls this worker.  Its latch alone won't do: every
 * wait inside a transaction (for a lock, for a synchronous standby) resets it.
 */
uint32
kgw_shared_wakes(void)
{
	wakes_seen = pg_atomic_read_u32(&my_database->wakes);
	return wakes_seen;
}

/* Changes whenever this worker has to forget what it holds in memory. */
uint32
kgw_shared_reloads(void)
{
	return pg_atomic_read_u32(&my_database->reloads);
}

/*
 * Count a settled attempt.  Also called by backends (kg_send_test), whose
 * database may have no slot; then there is nothing to count into.
 */
void
kgw_shared_count(KgwOutcome outcome)
{
	KgwDatabaseSlot *database = my_database;

	if (shared == NULL)
		return;
	if (database == NULL)
	{
		LWLockAcquire(shared->lock, LW_SHARED);
		database = find_database(MyDatabaseId);
		LWLockRelease(shared->lock);
	}
	if (database != NULL)
		pg_atomic_fetch_add_u64(&database->outcomes[outcome], 1);
}

/* Keep this worker's last error for kgwebhook.stats. */
void
kgw_shared_error(const char *message)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	strlcpy(my_database->last_error, message, KGW_ERROR_SIZE);
	my_database->last_error_at = GetCurrentTimestamp();
	LWLockRelease(shared->lock);
}
