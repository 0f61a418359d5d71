/*-------------------------------------------------------------------------
 *
 * apply_worker.c
 *	  Whether this process applies what a subscription brings.
 *
 * A subscription begins with a copy of the tables as they are, which a worker
 * of each table's own takes with COPY.  A row that it brings was there before:
 * its status is no transition, and thousands of receivers must not be told of
 * payments that ended years ago.  What the same worker applies once its copy is
 * complete, to catch up with the stream, are transitions like any others.  The
 * worker's state tells the two apart, in its own memory, without a lock: until
 * its copy is complete nobody else changes it.
 *
 * src/pg/apply_worker.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_subscription_rel.h"
#include "replication/worker_internal.h"

#include "pg/apply_worker.h"

/* Whether what is written now is a subscription's initial copy of a table. */
bool
kgw_apply_worker_copies(void)
{
	return MyLogicalRepWorker != NULL && OidIsValid(MyLogicalRepWorker->relid) &&
		(MyLogicalRepWorker->relstate == SUBREL_STATE_INIT ||
		 MyLogicalRepWorker->relstate == SUBREL_STATE_DATASYNC);
}

/* The name of the subscription whose changes this process applies, or NULL. */
const char *
kgw_apply_worker_subscription(void)
{
	return MyLogicalRepWorker != NULL && MySubscription != NULL ? MySubscription->name : NULL;
}

/* The number of the subscription whose changes this process applies, or InvalidOid. */
Oid
kgw_apply_worker_subid(void)
{
	return MyLogicalRepWorker != NULL ? MyLogicalRepWorker->subid : InvalidOid;
}
