/*-------------------------------------------------------------------------
 *
 * follower_latch.c
 *	  Waking the process that looks after a database's sources.
 *
 * It sleeps for seconds; a route that has changed can't wait for that, because
 * an organization stands still until the node that had it says that it is done.
 *
 * It belongs to a worker, which ends it.  After a crash the postmaster starts again
 * what the crash has ended, but not the worker: its follower would be another one
 * beside that of the next worker, and nobody would end it.  So it asks first whether
 * its worker is there.
 *
 * src/shmem/follower_latch.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/ipc.h"
#include "storage/proc.h"

#include "shmem/follower_latch.h"
#include "shmem/shmem.h"

static void
detach(int code, Datum arg)
{
	KgwDatabaseSlot *database;

	LWLockAcquire(kgw_shared->lock, LW_EXCLUSIVE);
	database = kgw_shmem_find(DatumGetObjectId(arg));
	if (database != NULL && database->follower == &MyProc->procLatch)
		database->follower = NULL;
	LWLockRelease(kgw_shared->lock);
}

/*
 * Make this process the one that routes wake.  False, with nothing done, when its worker,
 * which is the first of the database, is gone.
 */
bool
kgw_follower_latch_attach(Oid dboid, pid_t worker)
{
	KgwDatabaseSlot *database;
	bool		wanted;

	LWLockAcquire(kgw_shared->lock, LW_EXCLUSIVE);
	database = kgw_shmem_find(dboid);
	wanted = database != NULL && database->workers[0].pid == worker;
	if (wanted)
		database->follower = &MyProc->procLatch;
	LWLockRelease(kgw_shared->lock);
	if (wanted)
		before_shmem_exit(detach, ObjectIdGetDatum(dboid));
	return wanted;
}
