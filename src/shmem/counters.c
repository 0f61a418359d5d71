/*-------------------------------------------------------------------------
 *
 * counters.c
 *	  What has been counted, for people.
 *
 * Counters are atomics and are never reset while the server runs; they may run
 * ahead of a transaction that is about to be seen, never behind by more than a
 * moment.  The view kgwebhook.stats shows them.  Nothing is decided by any of it.
 *
 * src/shmem/counters.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "shmem/counters.h"
#include "shmem/shmem.h"

/*
 * Count a settled attempt.  Also called by backends (kg_send_test), whose
 * database may have no slot; then there is nothing to count into.
 */
void
kgw_counters_add(KgwOutcome outcome)
{
	KgwDatabaseSlot *database = kgw_shared_my_database;

	if (kgw_shared == NULL)
		return;
	if (database == NULL)
	{
		LWLockAcquire(kgw_shared->lock, LW_SHARED);
		database = kgw_shmem_find(MyDatabaseId);
		LWLockRelease(kgw_shared->lock);
	}
	if (database != NULL)
		pg_atomic_fetch_add_u64(&database->outcomes[outcome], 1);
}

/* Keep this worker's last error for kgwebhook.stats. */
void
kgw_counters_error(const char *message)
{
	LWLockAcquire(kgw_shared->lock, LW_EXCLUSIVE);
	strlcpy(kgw_shared_my_database->last_error, message, KGW_ERROR_SIZE);
	kgw_shared_my_database->last_error_at = GetCurrentTimestamp();
	LWLockRelease(kgw_shared->lock);
}

/*
 * Copy out a database's numbers; all zero when it has no slot.  False when
 * the library isn't preloaded.
 */
bool
kgw_counters_snapshot(Oid dboid, KgwSnapshot *snapshot)
{
	KgwDatabaseSlot *database;
	char		last_error[KGW_ERROR_SIZE] = "";

	memset(snapshot, 0, sizeof(*snapshot));
	snapshot->last_error = "";
	if (kgw_shared == NULL)
		return false;

	LWLockAcquire(kgw_shared->lock, LW_SHARED);
	snapshot->since = kgw_shared->since;
	database = kgw_shmem_find(dboid);
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
		strlcpy(last_error, database->last_error, KGW_ERROR_SIZE);
		snapshot->last_error_at = database->last_error_at;
	}
	LWLockRelease(kgw_shared->lock);
	snapshot->last_error = pstrdup(last_error);
	return true;
}
