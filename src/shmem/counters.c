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

#include "mb/pg_wchar.h"
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
	if (database == NULL)
		return;
	pg_atomic_fetch_add_u64(&database->outcomes[outcome], 1);
	if (kgw_shared_my_database != NULL && pg_atomic_read_u32(&database->errors) != 0)
		pg_atomic_write_u32(&database->errors, 0);
}

/*
 * What is kept of an error: what went wrong, and what the server says of it and
 * advises.  The detail of a constraint's error has the values of a row, which are
 * no business of those who monitor.
 */
static void
describe(const ErrorData *error, char *text)
{
	bool		has_row = ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION;

	strlcpy(text, error->message != NULL ? error->message : "unknown error", KGW_ERROR_SIZE);
	if (error->detail != NULL && !has_row)
	{
		strlcat(text, "; DETAIL: ", KGW_ERROR_SIZE);
		strlcat(text, error->detail, KGW_ERROR_SIZE);
	}
	if (error->hint != NULL)
	{
		strlcat(text, "; HINT: ", KGW_ERROR_SIZE);
		strlcat(text, error->hint, KGW_ERROR_SIZE);
	}
	text[pg_mbcliplen(text, strlen(text), KGW_ERROR_SIZE - 1)] = '\0';
}

static void
keep_error(const ErrorData *error, bool counts)
{
	KgwDatabaseSlot *database = kgw_shared_my_database;
	TimestampTz now = GetCurrentTimestamp();
	char		text[KGW_ERROR_SIZE];

	describe(error, text);
	LWLockAcquire(kgw_shared->lock, LW_EXCLUSIVE);
	strlcpy(database->last_error, text, KGW_ERROR_SIZE);
	database->last_error_at = now;
	database->last_error_code = error->sqlerrcode;
	if (counts && pg_atomic_fetch_add_u32(&database->errors, 1) == 0)
		database->failing_since = now;
	LWLockRelease(kgw_shared->lock);
}

/* Keep this worker's last error for kgwebhook.stats and kg_status(). */
void
kgw_counters_error(const ErrorData *error)
{
	keep_error(error, true);
}

/*
 * The same for an error that keeps some deliveries waiting, and not the worker from
 * its work: it is no sign that the worker fails.
 */
void
kgw_counters_complaint(const ErrorData *error)
{
	keep_error(error, false);
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
		snapshot->last_error_code = database->last_error_code;
		snapshot->errors = pg_atomic_read_u32(&database->errors);
		snapshot->failing_since = database->failing_since;
	}
	LWLockRelease(kgw_shared->lock);
	snapshot->last_error = pstrdup(last_error);
	return true;
}
