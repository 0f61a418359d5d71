/*-------------------------------------------------------------------------
 *
 * wal_flusher.c
 *	  WAL that a worker has flushed by another process.
 *
 * A process that flushes WAL sleeps until the disk is done, and a worker that drains a
 * backlog slept so for a twelfth of its time.  So it says how far it has written, the
 * launcher, which has nothing else to do, flushes that, and wakes it; the worker sends and
 * receives in the meantime.
 *
 * Nobody depends on it.  A worker looks for itself how far WAL is flushed, and flushes it when
 * that takes too long, because the launcher is busy or about to be started again.
 *
 * src/shmem/wal_flusher.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"

#include "shmem/shmem.h"
#include "shmem/wal_flusher.h"

/* Have WAL flushed up to there; this worker's latch is set when that is done. */
void
kgw_wal_flusher_ask(XLogRecPtr upto)
{
	pg_atomic_write_u64(&kgw_shared_my_worker->flush_upto, upto);
	LWLockAcquire(kgw_shared->lock, LW_SHARED);
	kgw_shmem_call_launcher();
	LWLockRelease(kgw_shared->lock);
}

/*
 * This worker ends: what it has committed is flushed, if it was not yet.  The next worker finds
 * the deliveries gone that were settled, and may send what is newer of their objects.
 */
void
kgw_wal_flusher_leave(void)
{
	XLogFlush(XactLastCommitEnd);
	pg_atomic_write_u64(&kgw_shared_my_worker->flush_upto, InvalidXLogRecPtr);
}

/* How far any worker wants it.  The caller holds the lock. */
static XLogRecPtr
find_wanted(void)
{
	XLogRecPtr	wanted = InvalidXLogRecPtr;

	for (int slot = 0; slot < KGW_MAX_DATABASES; slot++)
	{
		KgwDatabaseSlot *database = &kgw_shared->databases[slot];

		for (int shard = 0; OidIsValid(database->dboid) && shard < KGW_MAX_SHARDS; shard++)
			wanted = Max(wanted, pg_atomic_read_u64(&database->workers[shard].flush_upto));
	}
	return wanted;
}

/* Tell a worker that it is done, if it is.  The caller holds the lock. */
static void
answer(KgwWorkerSlot *worker, XLogRecPtr flushed)
{
	uint64		upto = pg_atomic_read_u64(&worker->flush_upto);

	/* by now it may want more */
	if (upto != InvalidXLogRecPtr && upto <= flushed &&
		pg_atomic_compare_exchange_u64(&worker->flush_upto, &upto, InvalidXLogRecPtr) &&
		worker->pid != 0)
		SetLatch(worker->latch);
}

static void
answer_all(XLogRecPtr flushed)
{
	for (int slot = 0; slot < KGW_MAX_DATABASES; slot++)
	{
		KgwDatabaseSlot *database = &kgw_shared->databases[slot];

		for (int shard = 0; OidIsValid(database->dboid) && shard < KGW_MAX_SHARDS; shard++)
			answer(&database->workers[shard], flushed);
	}
}

/* Do what workers have asked for. */
void
kgw_wal_flusher_serve(void)
{
	XLogRecPtr	wanted;

	LWLockAcquire(kgw_shared->lock, LW_SHARED);
	wanted = find_wanted();
	LWLockRelease(kgw_shared->lock);
	if (wanted == InvalidXLogRecPtr)
		return;
	XLogFlush(wanted);
	LWLockAcquire(kgw_shared->lock, LW_SHARED);
	answer_all(wanted);
	LWLockRelease(kgw_shared->lock);
}
