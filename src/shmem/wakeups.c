/*-------------------------------------------------------------------------
 *
 * wakeups.c
 *	  What a commit and the workers tell one another.
 *
 * A slot holds the latches of its workers, so that the commit of an enqueuing
 * transaction wakes them without a lookup, a signal handler or a table.  A latch
 * alone can get lost, though: a process that waits inside a transaction (for a lock)
 * resets it.  So each call is counted first, and a worker
 * compares counts before it sleeps.
 *
 * A commit runs through here when nothing may fail any more, so nothing does:
 * no memory is allocated, no error raised, no lock held for longer than it takes to
 * walk the workers of one database.
 *
 * src/shmem/wakeups.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "shmem/shmem.h"
#include "shmem/wakeups.h"

/* What kgw_wakeups_count() said last. */
static uint32 wakes_seen;

/*
 * Wake this database's workers: something is new in its queue or in what
 * they hold in memory.  A database that has no worker is brought to the
 * launcher's attention.  "enqueued" is added to the counter; "changes" tells the
 * workers what of that which they hold in memory is out of date.
 *
 * Called after a commit, when nothing may fail any more: it doesn't allocate
 * and raises nothing.
 */
void
kgw_wakeups_wake(uint64 enqueued, int changes)
{
	KgwDatabaseSlot *database;
	bool		running = false;

	if (kgw_shared == NULL)
		return;

	LWLockAcquire(kgw_shared->lock, LW_SHARED);
	database = kgw_shmem_find(MyDatabaseId);
	if (database != NULL)
	{
		pg_atomic_fetch_add_u64(&database->enqueued, enqueued);
		for (int i = 0; i < KGW_CHANGES; i++)
		{
			if (changes & 1 << i)
				pg_atomic_fetch_add_u32(&database->changes[i], 1);
		}
		if (database->follower != NULL && changes & 1 << KGW_CHANGED_ROUTES)
			SetLatch(database->follower);
		pg_atomic_fetch_add_u32(&database->wakes, 1);
		for (int i = 0; i < KGW_MAX_SHARDS; i++)
		{
			if (database->workers[i].pid == 0)
				continue;
			running = true;
			if (changes != 0 || pg_atomic_read_u32(&database->workers[i].deaf) == 0)
				SetLatch(database->workers[i].latch);
		}
	}
	if (database != NULL && database->absent)
		running = false;		/* they are about to go */
	LWLockRelease(kgw_shared->lock);
	if (running)
		return;

	LWLockAcquire(kgw_shared->lock, LW_EXCLUSIVE);
	if (database == NULL)
	{
		database = kgw_shmem_find_or_make(MyDatabaseId);
		if (database != NULL)
			pg_atomic_fetch_add_u64(&database->enqueued, enqueued);
	}
	else
		kgw_shmem_find_or_make(MyDatabaseId);
	kgw_shmem_call_launcher();
	LWLockRelease(kgw_shared->lock);
}

/*
 * Changes whenever a commit calls this worker.  Its latch alone won't do: every
 * wait inside a transaction (for a lock) resets it.
 */
uint32
kgw_wakeups_count(void)
{
	wakes_seen = pg_atomic_read_u32(&kgw_shared_my_database->wakes);
	return wakes_seen;
}

/* Whether no commit has called since kgw_wakeups_count() was asked. */
bool
kgw_wakeups_heard_all(void)
{
	return pg_atomic_read_u32(&kgw_shared_my_database->wakes) == wakes_seen;
}

/* Changes whenever someone has changed this. */
uint32
kgw_wakeups_changes(KgwChanged what)
{
	return pg_atomic_read_u32(&kgw_shared_my_database->changes[what]);
}

/*
 * Publish what this worker is doing.  One that is "deaf" isn't woken by
 * arrivals: it has to look for them before it is to hear of them again.
 */
void
kgw_wakeups_worker_state(int in_flight, bool busy, bool deaf)
{
	pg_atomic_write_u32(&kgw_shared_my_worker->deaf, deaf);
	pg_atomic_write_u32(&kgw_shared_my_worker->in_flight, in_flight);
	pg_atomic_write_u32(&kgw_shared_my_worker->busy, busy);

	/* a process that took us for deaf has counted a wake-up that we read after this */
	pg_memory_barrier();
}
