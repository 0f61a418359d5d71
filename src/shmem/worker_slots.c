/*-------------------------------------------------------------------------
 *
 * worker_slots.c
 *	  Which databases want workers, and who runs.
 *
 * The launcher connects to no database, so all that it knows of one is what others
 * write here: a worker whether it found the extension, a backend that it wants
 * workers, or wants them away while a statement needs the database for itself.  The
 * launcher acts on it (worker/launcher.c); nothing is decided here.
 *
 * A process that starts or ends says so itself, the latter by before_shmem_exit: an end
 * that nobody heard of would leave a database without a worker for good.
 *
 * src/shmem/worker_slots.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"

#include "shmem/shmem.h"
#include "shmem/wakeups.h"
#include "shmem/wal_flusher.h"
#include "shmem/worker_slots.h"

/*
 * Send a database's workers away and keep them away until
 * kgw_worker_slots_let_return().  False, with nothing done, when there are none.
 */
bool
kgw_worker_slots_send_away(Oid dboid)
{
	KgwDatabaseSlot *database;

	if (kgw_shared == NULL)
		return false;
	LWLockAcquire(kgw_shared->lock, LW_EXCLUSIVE);
	database = kgw_shmem_find(dboid);
	if (database != NULL)
	{
		database->closed++;
		for (int i = 0; i < KGW_MAX_SHARDS; i++)
		{
			if (database->workers[i].pid != 0)
				SetLatch(database->workers[i].latch);
		}
	}
	LWLockRelease(kgw_shared->lock);
	return database != NULL;
}

/* What kgw_worker_slots_send_away() began is over; "gone" if the database is. */
void
kgw_worker_slots_let_return(Oid dboid, bool gone)
{
	KgwDatabaseSlot *database;

	LWLockAcquire(kgw_shared->lock, LW_EXCLUSIVE);
	database = kgw_shmem_find(dboid);
	if (database != NULL)
	{
		database->closed--;
		database->absent |= gone;
	}
	kgw_shmem_call_launcher();
	LWLockRelease(kgw_shared->lock);
}

/* Have a database looked into, and its workers start again: it may have changed. */
void
kgw_worker_slots_look_again(Oid dboid)
{
	KgwDatabaseSlot *database;

	if (kgw_shared == NULL)
		return;
	LWLockAcquire(kgw_shared->lock, LW_EXCLUSIVE);
	database = kgw_shmem_find_or_make(dboid);
	for (int i = 0; database != NULL && i < KGW_MAX_SHARDS; i++)
	{
		if (database->workers[i].pid == 0)
			continue;
		database->workers[i].leave = true;
		SetLatch(database->workers[i].latch);
	}
	kgw_shmem_call_launcher();
	LWLockRelease(kgw_shared->lock);
}

/* How many workers a database has. */
int
kgw_worker_slots_workers_of(Oid dboid)
{
	KgwDatabaseSlot *database;
	int			workers = 0;

	if (kgw_shared == NULL)
		return 0;
	LWLockAcquire(kgw_shared->lock, LW_SHARED);
	database = kgw_shmem_find(dboid);
	for (int i = 0; database != NULL && i < KGW_MAX_SHARDS; i++)
		workers += database->workers[i].pid != 0;
	LWLockRelease(kgw_shared->lock);
	return workers;
}

static void
launcher_detach(int code, Datum arg)
{
	LWLockAcquire(kgw_shared->lock, LW_EXCLUSIVE);
	kgw_shared->launcher = NULL;
	LWLockRelease(kgw_shared->lock);
}

/* Make this process the launcher that backends wake. */
void
kgw_worker_slots_launcher_attach(void)
{
	LWLockAcquire(kgw_shared->lock, LW_EXCLUSIVE);
	kgw_shared->launcher = &MyProc->procLatch;
	LWLockRelease(kgw_shared->lock);
	before_shmem_exit(launcher_detach, (Datum) 0);
}

/* The number of a database's slot, made if need be; -1 when all are taken. */
int
kgw_worker_slots_want(Oid dboid)
{
	KgwDatabaseSlot *database;

	LWLockAcquire(kgw_shared->lock, LW_EXCLUSIVE);
	database = kgw_shmem_find_or_make(dboid);
	LWLockRelease(kgw_shared->lock);
	return database == NULL ? -1 : (int) (database - kgw_shared->databases);
}

/* Nobody is wanted in a slot's database, unless someone asks for it again. */
void
kgw_worker_slots_set_absent(int slot)
{
	LWLockAcquire(kgw_shared->lock, LW_EXCLUSIVE);
	kgw_shared->databases[slot].absent = true;
	LWLockRelease(kgw_shared->lock);
}

/*
 * Free a slot whose database has no worker and needs none.  False, with nothing
 * done, when someone has asked for it in the meantime or a statement keeps it closed.
 */
bool
kgw_worker_slots_forget(int slot)
{
	KgwDatabaseSlot *database = &kgw_shared->databases[slot];
	bool		unused;

	LWLockAcquire(kgw_shared->lock, LW_EXCLUSIVE);
	unused = database->absent && database->closed == 0;
	if (unused)
		kgw_shmem_free(database);
	LWLockRelease(kgw_shared->lock);
	return unused;
}

/* The database of a slot; InvalidOid when the slot is free. */
Oid
kgw_worker_slots_database(int slot)
{
	Oid			dboid;

	LWLockAcquire(kgw_shared->lock, LW_SHARED);
	dboid = kgw_shared->databases[slot].dboid;
	LWLockRelease(kgw_shared->lock);
	return dboid;
}

bool
kgw_worker_slots_worker_runs(int slot, int shard)
{
	bool		runs;

	LWLockAcquire(kgw_shared->lock, LW_SHARED);
	runs = kgw_shared->databases[slot].workers[shard].pid != 0;
	LWLockRelease(kgw_shared->lock);
	return runs;
}

/*
 * Whether nobody is wanted in the database, for want of the extension or of the
 * database itself, and nobody has asked for it since.
 */
bool
kgw_worker_slots_absent(int slot)
{
	bool		absent;

	LWLockAcquire(kgw_shared->lock, LW_SHARED);
	absent = kgw_shared->databases[slot].absent;
	LWLockRelease(kgw_shared->lock);
	return absent;
}

/* Whether a worker found the extension in the slot's database. */
bool
kgw_worker_slots_present(int slot)
{
	bool		present;

	LWLockAcquire(kgw_shared->lock, LW_SHARED);
	present = kgw_shared->databases[slot].present;
	LWLockRelease(kgw_shared->lock);
	return present;
}

/* Whether a statement keeps the workers of a slot away. */
bool
kgw_worker_slots_closed(int slot)
{
	bool		closed;

	LWLockAcquire(kgw_shared->lock, LW_SHARED);
	closed = kgw_shared->databases[slot].closed > 0;
	LWLockRelease(kgw_shared->lock);
	return closed;
}

static void
worker_detach(int code, Datum arg)
{
	kgw_wal_flusher_leave();
	LWLockAcquire(kgw_shared->lock, LW_EXCLUSIVE);
	kgw_shared_my_worker->pid = 0;
	kgw_shared_my_worker->fenced = false;
	kgw_shared_my_worker->latch = NULL;
	kgw_shared_my_worker->leave = false;
	pg_atomic_write_u32(&kgw_shared_my_worker->in_flight, 0);
	pg_atomic_write_u32(&kgw_shared_my_worker->busy, 0);
	pg_atomic_write_u32(&kgw_shared_my_worker->deaf, 0);
	kgw_shmem_call_launcher();
	LWLockRelease(kgw_shared->lock);
}

/*
 * Make this process the worker of a shard, whom commits wake.  False, with nothing
 * done, when the shard has one: a launcher that began after another's end may have
 * started a second before the first had said that it runs.
 */
bool
kgw_worker_slots_worker_attach(int slot, int shard)
{
	KgwWorkerSlot *worker = &kgw_shared->databases[slot].workers[shard];
	bool		vacant;

	LWLockAcquire(kgw_shared->lock, LW_EXCLUSIVE);
	vacant = worker->pid == 0;
	if (vacant)
	{
		kgw_shared_my_database = &kgw_shared->databases[slot];
		kgw_shared_my_worker = worker;
		worker->latch = &MyProc->procLatch;
		worker->pid = MyProcPid;
		worker->leave = false;
		kgw_shmem_call_launcher();
	}
	LWLockRelease(kgw_shared->lock);
	if (vacant)
		before_shmem_exit(worker_detach, (Datum) 0);
	return vacant;
}

/* Report that the database of this worker has the extension. */
void
kgw_worker_slots_worker_present(void)
{
	LWLockAcquire(kgw_shared->lock, LW_EXCLUSIVE);
	kgw_shared_my_database->present = true;
	LWLockRelease(kgw_shared->lock);
}

/*
 * Report that it doesn't, unless a commit has called since we last listened: it
 * may have been CREATE EXTENSION, and someone has to look again.
 */
void
kgw_worker_slots_worker_absent(void)
{
	LWLockAcquire(kgw_shared->lock, LW_EXCLUSIVE);
	if (kgw_wakeups_heard_all())
		kgw_shared_my_database->absent = true;
	LWLockRelease(kgw_shared->lock);
}

/* Whether this worker has been sent away. */
bool
kgw_worker_slots_worker_dismissed(void)
{
	bool		dismissed;

	LWLockAcquire(kgw_shared->lock, LW_SHARED);
	dismissed = kgw_shared_my_database->closed > 0 || kgw_shared_my_worker->leave;
	LWLockRelease(kgw_shared->lock);
	return dismissed;
}

/*
 * Publish whether this worker has found that its database is a copy.  True when
 * none of the database's workers had said so before.
 */
bool
kgw_worker_slots_worker_fenced(bool fenced)
{
	bool		known = false;

	LWLockAcquire(kgw_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < KGW_MAX_SHARDS; i++)
		known |= kgw_shared_my_database->workers[i].fenced;
	kgw_shared_my_worker->fenced = fenced;
	LWLockRelease(kgw_shared->lock);
	return fenced && !known;
}
