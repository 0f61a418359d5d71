/*-------------------------------------------------------------------------
 *
 * shmem.c
 *	  The segment of shared memory: its layout, and how a slot is found.
 *
 * One slot a database, made when the launcher or a committing backend first
 * speaks of it, with room for all its workers.  Only plain values and pointers into
 * shared memory (a PGPROC's latch) live here; nothing process-local ever may: a
 * pointer of one process in another's hands is a crash of the whole server.
 *
 * What the fields say is the business of four files, each with its own readers:
 *
 *   wakeups.c     what a commit and the workers tell one another
 *   worker_slots.c    which databases want workers, and who runs
 *   counters.c  what has been counted, for people
 *   wal_flusher.c   WAL that workers want flushed
 *
 * Without shared_preload_libraries none of this exists.  Every function that
 * a backend calls then does nothing, and events simply wait in the queue.
 *
 * src/shmem/shmem.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "shmem/apply_errors.h"
#include "shmem/destination_stats.h"
#include "shmem/shmem.h"

KgwShared  *kgw_shared;
KgwDatabaseSlot *kgw_shared_my_database;
KgwWorkerSlot *kgw_shared_my_worker;

static shmem_request_hook_type previous_request_hook;
static shmem_startup_hook_type previous_startup_hook;

static void
init_database_slot(KgwDatabaseSlot *database, Oid dboid)
{
	memset(database, 0, sizeof(*database));
	database->dboid = dboid;
	pg_atomic_init_u32(&database->wakes, 0);
	pg_atomic_init_u32(&database->errors, 0);
	for (int i = 0; i < KGW_CHANGES; i++)
		pg_atomic_init_u32(&database->changes[i], 0);
	pg_atomic_init_u64(&database->enqueued, 0);
	for (int i = 0; i < KGW_OUTCOMES; i++)
		pg_atomic_init_u64(&database->outcomes[i], 0);
	for (int i = 0; i < KGW_MAX_SHARDS; i++)
	{
		pg_atomic_init_u32(&database->workers[i].in_flight, 0);
		pg_atomic_init_u32(&database->workers[i].busy, 0);
		pg_atomic_init_u32(&database->workers[i].deaf, 0);
		pg_atomic_init_u64(&database->workers[i].flush_upto, InvalidXLogRecPtr);
	}
}

static void
request_shmem(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(KgwShared)));
	RequestNamedLWLockTranche("kgwebhook", 1);
	kgw_destination_stats_request();
	kgw_apply_errors_request();
}

static void
startup_shmem(void)
{
	bool		found;

	if (previous_startup_hook)
		previous_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	kgw_shared = ShmemInitStruct("kgwebhook", sizeof(KgwShared), &found);
	if (!found)
	{
		memset(kgw_shared, 0, sizeof(KgwShared));
		kgw_shared->lock = &(GetNamedLWLockTranche("kgwebhook"))->lock;
		kgw_shared->since = GetCurrentTimestamp();
		for (int i = 0; i < KGW_MAX_DATABASES; i++)
			init_database_slot(&kgw_shared->databases[i], InvalidOid);
	}
	kgw_destination_stats_startup();
	kgw_apply_errors_startup();
	LWLockRelease(AddinShmemInitLock);
}

/*
 * Reserve the shared memory.  Called from _PG_init while the server loads its
 * preloaded libraries, and never otherwise.
 */
void
kgw_shmem_request(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}

/* Whether the library was preloaded, so that workers can exist at all. */
bool
kgw_shmem_ready(void)
{
	return kgw_shared != NULL;
}

/* The slot of a database, or NULL.  The caller holds the lock. */
KgwDatabaseSlot *
kgw_shmem_find(Oid dboid)
{
	for (int i = 0; i < KGW_MAX_DATABASES; i++)
	{
		if (kgw_shared->databases[i].dboid == dboid)
			return &kgw_shared->databases[i];
	}
	return NULL;
}

/*
 * Find or make a database's slot and mark it wanted.  The caller holds the
 * lock exclusively.  NULL when all slots are taken.
 */
KgwDatabaseSlot *
kgw_shmem_find_or_make(Oid dboid)
{
	KgwDatabaseSlot *database = kgw_shmem_find(dboid);

	if (database == NULL)
	{
		database = kgw_shmem_find(InvalidOid);
		if (database == NULL)
			return NULL;
		init_database_slot(database, dboid);
	}
	database->absent = false;
	return database;
}

/* Give a slot to the process that needs one next.  The caller holds the lock exclusively. */
void
kgw_shmem_free(KgwDatabaseSlot *database)
{
	init_database_slot(database, InvalidOid);
}

/* Wake the launcher, if there is one.  The caller holds the lock. */
void
kgw_shmem_call_launcher(void)
{
	if (kgw_shared->launcher != NULL)
		SetLatch(kgw_shared->launcher);
}
