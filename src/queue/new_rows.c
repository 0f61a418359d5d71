/*-------------------------------------------------------------------------
 *
 * new_rows.c
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
 * All but the last two functions are called between kgw_queue_read_begin() and
 * kgw_queue_read_end(), whose snapshot it goes by.
 *
 * src/queue/new_rows.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/qunique.h"
#include "storage/lwlock.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

#include "pg/compat.h"
#include "pg/saved_plan.h"
#include "queue/new_rows.h"

/* Rows of a pass, of all passes of a look, and of what may be named in addition. */
#define PASS_ROWS 256
#define WHOLE_ROWS 4096
#define NAMED_ROWS 16384

/* A 32-bit transaction id of the active snapshot, in full. */
static FullTransactionId
widen(TransactionId xid, FullTransactionId next)
{
	uint32		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return FullTransactionIdFromEpochAndXid(epoch, xid);
}

static int
compare_xids(const void *a, const void *b)
{
	FullTransactionId x = *(const FullTransactionId *) a;
	FullTransactionId y = *(const FullTransactionId *) b;

	return FullTransactionIdPrecedes(x, y) ? -1 : FullTransactionIdPrecedes(y, x) ? 1 : 0;
}

static bool
is_among_xids(FullTransactionId xid, const FullTransactionId *xids, int count)
{
	return bsearch(&xid, xids, count, sizeof(FullTransactionId), compare_xids) != NULL;
}

#ifdef USE_ASSERT_CHECKING
/* What a look remembers: each transaction in progress once, none beyond its end. */
static void
snapshot_is_sorted(const KgwArrivals *arrivals)
{
	Assert(FullTransactionIdIsNormal(arrivals->xmax));
	Assert(FullTransactionIdPrecedesOrEquals(arrivals->xmax, arrivals->next));
	for (int i = 0; i < arrivals->xip_count; i++)
	{
		Assert(FullTransactionIdPrecedes(arrivals->xip[i], arrivals->xmax));
		Assert(i == 0 || FullTransactionIdPrecedes(arrivals->xip[i - 1], arrivals->xip[i]));
	}
}

/*
 * No transaction that had ended by the last look is in progress now: its rows would
 * be found twice.
 */
static void
looks_go_forward(const KgwArrivals *arrivals, FullTransactionId since,
				 const FullTransactionId *before, int before_count)
{
	Assert(FullTransactionIdPrecedesOrEquals(since, arrivals->xmax));
	for (int i = 0; i < arrivals->xip_count; i++)
		Assert(FullTransactionIdFollowsOrEquals(arrivals->xip[i], since) ||
			   is_among_xids(arrivals->xip[i], before, before_count));
}
#endif

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
	qsort(arrivals->xip, arrivals->xip_count, sizeof(FullTransactionId), compare_xids);

	/* one that is just being prepared has two entries, its session's and its own */
	arrivals->xip_count = qunique(arrivals->xip, arrivals->xip_count, sizeof(FullTransactionId),
								  compare_xids);
#ifdef USE_ASSERT_CHECKING
	snapshot_is_sorted(arrivals);
#endif
}

/*
 * Start over: name every destination that has deliveries, whose rows are then
 * read by destination, and count as arrivals what isn't visible yet.
 */
void
kgw_new_rows_start(KgwArrivals *arrivals, KgwDestinationTaker take, void *arg)
{
	remember_snapshot(arrivals);
	kgw_queue_read_name_destinations(take, arg);
}

/* A walk along the index of transactions: where it is, and who gets what it meets. */
typedef struct KgwWalk
{
	FullTransactionId xid;
	int64		delivery_id;	/* the last one that was met */
	int			budget;			/* rows that may still be read whole */
	KgwRowTaker take;
	void	   *arg;
} KgwWalk;

/* What is left of one transaction, and of those that began with this one. */
#define OF_ONE \
	" WHERE xid OPERATOR(pg_catalog.=) $1 AND delivery_id OPERATOR(pg_catalog.>) $2"
#define OF_ALL_SINCE \
	" WHERE (xid, delivery_id) OPERATOR(pg_catalog.>) ($1, $2)"

#ifdef USE_ASSERT_CHECKING
/* A walk meets no row twice: by transaction, and within one by number. */
static bool
walk_goes_forward(const KgwWalk *walk, const KgwDelivery *row)
{
	return FullTransactionIdPrecedes(walk->xid, row->xid) ||
		(FullTransactionIdEquals(walk->xid, row->xid) && walk->delivery_id < row->delivery_id);
}
#endif

static bool
take_and_remember(KgwDelivery *row, void *arg)
{
	KgwWalk    *walk = arg;

	Assert(walk_goes_forward(walk, row));
	walk->xid = row->xid;
	walk->delivery_id = row->delivery_id;
	return walk->take(row, walk->arg);
}

/*
 * Read what is left from where the walk is, pass by pass.  False when it has used
 * its budget before the end.
 */
static bool
read_whole(KgwWalk *walk, bool one)
{
	static SPIPlanPtr plans[2];
	Oid			types[] = {XID8OID, INT8OID, INT4OID};
	Datum		args[3];
	bool		stopped;
	int			count = PASS_ROWS;

	kgw_saved_plan(&plans[one], one ?
			 "SELECT " KGW_ROW_COLUMNS " FROM kgwebhook.queue" OF_ONE
			 " ORDER BY xid, delivery_id LIMIT $3" :
			 "SELECT " KGW_ROW_COLUMNS " FROM kgwebhook.queue" OF_ALL_SINCE
			 " ORDER BY xid, delivery_id LIMIT $3", 3, types);

	/* a database that turns out to be a copy sends nothing of all this */
	while (count == PASS_ROWS && !kgw_queue_read_met_foreign())
	{
		if (walk->budget <= 0)
			return false;
		args[0] = FullTransactionIdGetDatum(walk->xid);
		args[1] = Int64GetDatum(walk->delivery_id);
		args[2] = Int32GetDatum(PASS_ROWS);
		count = kgw_queue_read_rows(plans[one], args, 3, take_and_remember, walk, &stopped);
		walk->budget -= count;
	}
	return true;
}

/* Who is to get the name of a destination. */
typedef struct KgwNaming
{
	KgwOverflowTaker overflow;
	void	   *arg;
} KgwNaming;

/* Any of a destination's deliveries may be one that was left unread. */
static void
from_beginning(const char *destination, void *arg)
{
	KgwNaming   *named = arg;

	named->overflow(destination, 0, named->arg);
}

/*
 * Only name whose deliveries are left from where the walk is, and from which on.
 * When there are very many, a walk along the index by destination takes less.
 */
static void
read_firsts(const KgwWalk *walk, bool one, KgwOverflowTaker overflow)
{
	static SPIPlanPtr plans[2];
	Oid			types[] = {XID8OID, INT8OID, INT4OID};
	Datum		args[3];

	kgw_saved_plan(&plans[one], one ?
			 "SELECT destination, pg_catalog.min(delivery_id), pg_catalog.count(*) FROM"
			 " (SELECT destination, delivery_id FROM kgwebhook.queue" OF_ONE
			 "   ORDER BY xid, delivery_id LIMIT $3) q GROUP BY destination" :
			 "SELECT destination, pg_catalog.min(delivery_id), pg_catalog.count(*) FROM"
			 " (SELECT destination, delivery_id FROM kgwebhook.queue" OF_ALL_SINCE
			 "   ORDER BY xid, delivery_id LIMIT $3) q GROUP BY destination", 3, types);
	args[0] = FullTransactionIdGetDatum(walk->xid);
	args[1] = Int64GetDatum(walk->delivery_id);
	args[2] = Int32GetDatum(NAMED_ROWS);
	if (kgw_queue_read_firsts(plans[one], args, overflow, walk->arg) == NAMED_ROWS)
		kgw_queue_read_name_destinations(from_beginning, &(KgwNaming) {overflow, walk->arg});
}

/* Walk over what one transaction has enqueued, or all from this one on. */
static void
walk_from(KgwWalk *walk, FullTransactionId xid, bool one, KgwOverflowTaker overflow)
{
	walk->xid = xid;
	walk->delivery_id = PG_INT64_MIN;
	if (!read_whole(walk, one))
		read_firsts(walk, one, overflow);
}

/*
 * Read what has become visible since the last call, in passes of a few hundred rows
 * each.  What is beyond WHOLE_ROWS isn't read: its destinations are named to
 * "overflow", with their lowest number each, from which on they are to be read by
 * kgw_queue_read_destination().  Beyond NAMED_ROWS more, all destinations are, from
 * their beginning.
 *
 * A call always comes to its end with the snapshot that it began with.  Of two
 * transitions of an object the older may have the higher transaction number; if
 * a send could come between two parts of a pass, the newer might go first.
 */
void
kgw_new_rows_read(KgwArrivals *arrivals, KgwRowTaker take, KgwOverflowTaker overflow, void *arg)
{
	FullTransactionId since = arrivals->xmax;
	FullTransactionId *before = arrivals->xip;
	int			before_count = arrivals->xip_count;
	KgwWalk		walk = {.budget = WHOLE_ROWS, .take = take, .arg = arg};

	arrivals->xip = NULL;
	remember_snapshot(arrivals);
#ifdef USE_ASSERT_CHECKING
	looks_go_forward(arrivals, since, before, before_count);
#endif
	for (int i = 0; i < before_count; i++)
	{
		if (!is_among_xids(before[i], arrivals->xip, arrivals->xip_count))
			walk_from(&walk, before[i], true, overflow);
	}
	free(before);
	walk_from(&walk, since, false, overflow);
}

/*
 * Whether a transaction was in progress at the last look.  A snapshot lists only
 * those below its xmax, which is the one after the latest that has ended: a
 * prepared transaction that is newer than all that have ended is in no list
 * (test/model).
 */
bool
kgw_new_rows_unended(const KgwArrivals *arrivals)
{
	return arrivals->xip_count > 0 ||
		FullTransactionIdPrecedes(arrivals->xmax, arrivals->next);
}

/* The newest transaction that has ended, committed or not. */
static FullTransactionId
newest_ended(void)
{
	FullTransactionId newest;

	LWLockAcquire(ProcArrayLock, LW_SHARED);
	newest = TransamVariables->latestCompletedXid;
	LWLockRelease(ProcArrayLock);
	return newest;
}

/*
 * Whether a transaction that was in progress at the last look may have ended
 * since.  Needs no transaction; for those whose commit wakes nobody (COMMIT
 * PREPARED).
 */
bool
kgw_new_rows_ended_unseen(const KgwArrivals *arrivals)
{
	for (int i = 0; i < arrivals->xip_count; i++)
	{
		if (!TransactionIdIsInProgress(XidFromFullTransactionId(arrivals->xip[i])))
			return true;
	}
	return FullTransactionIdPrecedes(arrivals->xmax, arrivals->next) &&
		FullTransactionIdFollowsOrEquals(newest_ended(), arrivals->xmax);
}
