/*-------------------------------------------------------------------------
 *
 * arrivals.c
 *	  What has become visible in kgwebhook.queue since the last look.
 *
 * Sequence order is not commit order, so arrivals are found by transaction:
 * after a read with snapshot S, new is what was in progress in S and has ended,
 * and what began after it.  Each row is found exactly once, and dead rows that
 * an old snapshot keeps from vacuum are never walked again.
 *
 * Every other read comes after a look at the arrivals with the same snapshot:
 * only then is nothing older than what was read still to be found.
 *
 * All but kgw_arrivals_unended() and kgw_arrivals_ended_unseen() is called between kgw_queue_begin() and
 * kgw_queue_end(), whose snapshot it goes by.
 *
 * src/domain/arrivals.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/lwlock.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

#include "domain/arrivals.h"
#include "services/plan.h"

/* A 32-bit transaction id of the active snapshot, in full. */
static FullTransactionId
widen(TransactionId xid, FullTransactionId next)
{
	uint32		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return FullTransactionIdFromEpochAndXid(epoch, xid);
}

/* Keep the active snapshot as the one that has been read. */
static void
remember_snapshot(KgwArrivals *arrivals)
{
	Snapshot	snapshot = GetActiveSnapshot();
	FullTransactionId next = ReadNextFullTransactionId();

	arrivals->xmax = widen(snapshot->xmax, next);
	arrivals->next = next;
	arrivals->xip_count = snapshot->xcnt;
	arrivals->xip = realloc(arrivals->xip, Max(snapshot->xcnt, 1) * sizeof(FullTransactionId));
	if (arrivals->xip == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	for (uint32 i = 0; i < snapshot->xcnt; i++)
		arrivals->xip[i] = widen(snapshot->xip[i], next);
}

/*
 * Start over: name every destination that has deliveries, whose rows are then
 * read by destination, and count as arrivals what isn't visible yet.
 */
void
kgw_arrivals_start(KgwArrivals *arrivals, KgwDestinationTaker take, void *arg)
{
	remember_snapshot(arrivals);
	kgw_queue_name_destinations(take, arg);
}

static int
compare_xids(const void *a, const void *b)
{
	FullTransactionId x = *(const FullTransactionId *) a;
	FullTransactionId y = *(const FullTransactionId *) b;

	return FullTransactionIdPrecedes(x, y) ? -1 : FullTransactionIdPrecedes(y, x) ? 1 : 0;
}

/* Read what one transaction has enqueued. */
static int
read_transaction(FullTransactionId xid, int limit, KgwRowTaker take, void *arg)
{
	static SPIPlanPtr kept;
	Oid			types[] = {XID8OID, INT4OID};
	Datum		args[2];

	kgw_plan(&kept,
			 "SELECT " KGW_ROW_COLUMNS " FROM kgwebhook.queue"
			 " WHERE xid OPERATOR(pg_catalog.=) $1"
			 " ORDER BY xid, delivery_id LIMIT $2", 2, types);
	args[0] = FullTransactionIdGetDatum(xid);
	args[1] = Int32GetDatum(limit);
	return kgw_queue_read_rows(kept, args, take, arg);
}

/* Read what has been enqueued by transactions that began with this one. */
static int
read_since(FullTransactionId xmax, int limit, KgwRowTaker take, void *arg)
{
	static SPIPlanPtr kept;
	Oid			types[] = {XID8OID, INT4OID};
	Datum		args[2];

	kgw_plan(&kept,
			 "SELECT " KGW_ROW_COLUMNS " FROM kgwebhook.queue"
			 " WHERE xid OPERATOR(pg_catalog.>=) $1"
			 " ORDER BY xid, delivery_id LIMIT $2", 2, types);
	args[0] = FullTransactionIdGetDatum(xmax);
	args[1] = Int32GetDatum(limit);
	return kgw_queue_read_rows(kept, args, take, arg);
}

/*
 * Read what has become visible since the last call.  Beyond "limit" rows the
 * rest isn't read: then every destination is named to "overflow", and has to be
 * read from its beginning by kgw_queue_read_destination().
 *
 * A call always comes to its end with the snapshot that it began with.  Of two
 * transitions of an object the older may have the higher transaction number; if
 * a send could come between two parts of a pass, the newer might go first.
 */
void
kgw_arrivals_read(KgwArrivals *arrivals, int limit, KgwRowTaker take,
				  KgwDestinationTaker overflow, void *arg)
{
	FullTransactionId since = arrivals->xmax;
	FullTransactionId *before = arrivals->xip;
	int			before_count = arrivals->xip_count;

	arrivals->xip = NULL;
	remember_snapshot(arrivals);
	qsort(arrivals->xip, arrivals->xip_count, sizeof(FullTransactionId), compare_xids);
	for (int i = 0; i < before_count && limit > 0; i++)
	{
		if (bsearch(&before[i], arrivals->xip, arrivals->xip_count,
					sizeof(FullTransactionId), compare_xids) == NULL)
			limit -= read_transaction(before[i], limit, take, arg);
	}
	free(before);
	if (limit > 0)
		limit -= read_since(since, limit, take, arg);
	if (limit <= 0)
		kgw_queue_name_destinations(overflow, arg);
}

/*
 * Whether a transaction was in progress at the last look.  A snapshot lists only
 * those below its xmax, which is the one after the latest that has ended: a
 * prepared transaction that is newer than all that have ended is in no list
 * (test/model).
 */
bool
kgw_arrivals_unended(const KgwArrivals *arrivals)
{
	return arrivals->xip_count > 0 ||
		FullTransactionIdPrecedes(arrivals->xmax, arrivals->next);
}

/* The newest transaction that has ended. */
static FullTransactionId
latest_ended(void)
{
	FullTransactionId xid;

	LWLockAcquire(ProcArrayLock, LW_SHARED);
#if PG_VERSION_NUM >= 170000
	xid = TransamVariables->latestCompletedXid;
#else
	xid = ShmemVariableCache->latestCompletedXid;
#endif
	LWLockRelease(ProcArrayLock);
	return xid;
}

/*
 * Whether one of these has ended since.  Needs no transaction; for those whose
 * commit wakes nobody (COMMIT PREPARED).
 */
bool
kgw_arrivals_ended_unseen(const KgwArrivals *arrivals)
{
	for (int i = 0; i < arrivals->xip_count; i++)
	{
		if (!TransactionIdIsInProgress(XidFromFullTransactionId(arrivals->xip[i])))
			return true;
	}
	return !FullTransactionIdPrecedes(latest_ended(), arrivals->xmax);
}
