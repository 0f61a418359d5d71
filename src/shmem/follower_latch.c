/*-------------------------------------------------------------------------
 *
 * follower_latch.c
 *	  Waking the process that looks after a database's sources.
 *
 * It sleeps for seconds; a route that has changed can't wait for that, because
 * an organization stands still until the node that had it says that it is done.
 *
 * src/shmem/follower_latch.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"

#include "shmem/follower_latch.h"
#include "shmem/shmem.h"

static void
detach(int code, Datum arg)
{
	KgwDatabaseSlot *database;

	LWLockAcquire(kgw_shared->lock, LW_EXCLUSIVE);
	database = kgw_shmem_find(MyDatabaseId);
	if (database != NULL && database->follower == &MyProc->procLatch)
		database->follower = NULL;
	LWLockRelease(kgw_shared->lock);
}

/* Make this process the one that routes wake. */
void
kgw_follower_latch_attach(void)
{
	KgwDatabaseSlot *database;

	LWLockAcquire(kgw_shared->lock, LW_EXCLUSIVE);
	database = kgw_shmem_find(MyDatabaseId);
	if (database != NULL)
		database->follower = &MyProc->procLatch;
	LWLockRelease(kgw_shared->lock);
	before_shmem_exit(detach, (Datum) 0);
}
