/*-------------------------------------------------------------------------
 *
 * queue.c
 *	  Reading kgwebhook.queue.
 *
 * One worker owns a destination's deliveries and remembers what it is sending,
 * so reading claims nothing and writes nothing.  Three ways to read:
 *
 *	arrivals	 What has become visible since the last look.  Sequence order is
 *				 not commit order, so arrivals are found by transaction: after a
 *				 read with snapshot S, new is what was in progress in S and has
 *				 ended, and what began after it.  Each row is found exactly once,
 *				 and dead rows that an old snapshot keeps from vacuum are never
 *				 walked again.  Every other read comes after a look at the
 *				 arrivals with the same snapshot: only then is nothing older than
 *				 what was read still to be found.
 *	destination	 The backlog of one destination, oldest first, from where memory
 *				 ended.
 *	ids			 Rows whose payload was let go while they waited for a retry.
 *
 * Every read is a short transaction: begin, read, end.  A callback must never
 * leave for a payment that a crash could still undo, so kgw_queue_end() first
 * flushes the WAL of every transaction whose rows were read and that committed
 * asynchronously.
 *
 * A row that was enqueued in another database, and is here because it was
 * restored, is never handed on, only noted: kgw_queue_met_foreign().
 *
 * This file must never be called while a request is being handed to libcurl,
 * and holds no lock or snapshot outside of begin and end.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "pgstat.h"
#include "storage/lwlock.h"
#include "storage/procarray.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "domain/queue.h"
#include "services/instance.h"
#include "services/plan.h"
#include "services/text.h"

#define COLUMNS \
	"ctid, delivery_id, attempts, attempts_before, next_attempt_at, enqueued_at, xid, origin, subscription_id, " \
	"webhook_id, org_id, event, object_id, url, destination, problem, payload"

/* Columns of the above, from 1. */
enum
{
	ROW_PLACE = 1, ROW_DELIVERY_ID, ROW_ATTEMPTS, ROW_ATTEMPTS_BEFORE, ROW_NEXT_ATTEMPT_AT,
	ROW_ENQUEUED_AT, ROW_XID, ROW_ORIGIN, ROW_SUBSCRIPTION_ID, ROW_WEBHOOK_ID, ROW_ORG_ID, ROW_EVENT,
	ROW_OBJECT_ID, ROW_URL,
	ROW_DESTINATION, ROW_PROBLEM, ROW_PAYLOAD
};

/* The context that was current at kgw_queue_begin(); rows are made there. */
static MemoryContext caller_context;

/* The newest WAL position that what was read depends on. */
static XLogRecPtr read_lsn;

/* Whether a row of another database was met since kgw_queue_begin(). */
static bool met_foreign;

/*
 * Begin a short transaction for reading, with one snapshot for all of it.
 */
void
kgw_queue_begin(void)
{
	caller_context = CurrentMemoryContext;
	read_lsn = InvalidXLogRecPtr;
	met_foreign = false;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	pgstat_report_activity(STATE_RUNNING, "reading kgwebhook.queue");
}

/*
 * End it, and make sure that everything read from it will survive a crash.
 */
void
kgw_queue_end(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	if (read_lsn != InvalidXLogRecPtr && XLogNeedsFlush(read_lsn))
		XLogFlush(read_lsn);
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	MemoryContextSwitchTo(caller_context);
}

/*
 * Note that a row of this transaction was read.  An asynchronous commit leaves
 * its WAL position in the commit log's memory, which is the only trace of it;
 * transactions that are older than the commit log were flushed long ago.
 */
static void
note_transaction(FullTransactionId xid)
{
	static FullTransactionId last;
	TransactionId short_xid = XidFromFullTransactionId(xid);
	XLogRecPtr	lsn = InvalidXLogRecPtr;

	if (FullTransactionIdEquals(xid, last) || !TransactionIdIsNormal(short_xid))
		return;
	last = xid;
	LWLockAcquire(XactTruncationLock, LW_SHARED);
#if PG_VERSION_NUM >= 170000
	if (!TransactionIdPrecedes(short_xid, TransamVariables->oldestClogXid) &&
		FullTransactionIdPrecedes(xid, TransamVariables->nextXid))
#else
	if (!TransactionIdPrecedes(short_xid, ShmemVariableCache->oldestClogXid) &&
		FullTransactionIdPrecedes(xid, ShmemVariableCache->nextXid))
#endif
		lsn = TransactionIdGetCommitLSN(short_xid);
	LWLockRelease(XactTruncationLock);
	if (lsn > read_lsn)
		read_lsn = lsn;
}

/*
 * Append text to the piece in UTF-8, and say where it begins.  What has no
 * UTF-8 form (possible only in a database of another encoding) is left empty,
 * and *unfit is set.
 */
static Size
append_wire(StringInfo piece, const char *text, size_t *len, bool *unfit)
{
	Size		offset = piece->len;
	const char *wire = kgw_text_to_wire(text, len);

	if (wire == NULL)
	{
		wire = "";
		*len = 0;
		*unfit = true;
	}
	appendBinaryStringInfo(piece, wire, *len);
	appendStringInfoChar(piece, '\0');
	return offset;
}

/* Append a text column; offset 0 stands for NULL. */
static Size
append_text(StringInfo piece, HeapTuple tuple, TupleDesc desc, int column, bool *unfit)
{
	bool		isnull;
	size_t		len;
	Datum		value = heap_getattr(tuple, column, desc, &isnull);
	text	   *unpacked;

	if (isnull)
		return 0;
	unpacked = DatumGetTextPP(value);
	len = VARSIZE_ANY_EXHDR(unpacked);
	return append_wire(piece, VARDATA_ANY(unpacked), &len, unfit);
}

static Size
append_payload(StringInfo piece, HeapTuple tuple, TupleDesc desc, size_t *len, bool *unfit)
{
	bool		isnull;
	Jsonb	   *jsonb = DatumGetJsonbP(heap_getattr(tuple, ROW_PAYLOAD, desc, &isnull));
	StringInfoData json;

	/* into the piece itself, unless it has to be converted */
	if (GetDatabaseEncoding() == PG_UTF8)
	{
		Size		offset = piece->len;

		(void) JsonbToCString(piece, &jsonb->root, 0);
		*len = piece->len - offset;
		appendStringInfoChar(piece, '\0');
		return offset;
	}
	initStringInfo(&json);
	(void) JsonbToCString(&json, &jsonb->root, VARSIZE(jsonb));
	*len = json.len;
	return append_wire(piece, json.data, len, unfit);
}

static Datum
get_value(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;

	return heap_getattr(tuple, column, desc, &isnull);
}

/* Make a row out of a tuple; scratch memory is the current context's. */
static KgwRow *
make_row(HeapTuple tuple, TupleDesc desc)
{
	StringInfoData piece;
	KgwRow		head = {0};
	KgwRow	   *row;
	Size		offset[ROW_PAYLOAD + 1] = {0};
	bool		unfit = false;
	Datum		value;
	bool		none;

	head.place = *(ItemPointer) DatumGetPointer(get_value(tuple, desc, ROW_PLACE));
	head.delivery_id = DatumGetInt64(get_value(tuple, desc, ROW_DELIVERY_ID));
	head.attempts = DatumGetInt32(get_value(tuple, desc, ROW_ATTEMPTS));
	head.attempts_before = DatumGetInt32(get_value(tuple, desc, ROW_ATTEMPTS_BEFORE));
	head.next_attempt_at = DatumGetTimestampTz(get_value(tuple, desc, ROW_NEXT_ATTEMPT_AT));
	head.enqueued_at = DatumGetTimestampTz(get_value(tuple, desc, ROW_ENQUEUED_AT));
	head.xid = DatumGetFullTransactionId(get_value(tuple, desc, ROW_XID));
	value = heap_getattr(tuple, ROW_SUBSCRIPTION_ID, desc, &none);
	head.subscription_id = none ? 0 : DatumGetInt64(value);

	initStringInfo(&piece);
	appendBinaryStringInfo(&piece, (char *) &head, sizeof(head));
	for (int column = ROW_WEBHOOK_ID; column <= ROW_PROBLEM; column++)
		offset[column] = append_text(&piece, tuple, desc, column, &unfit);
	offset[ROW_PAYLOAD] = append_payload(&piece, tuple, desc, &head.payload_len, &unfit);

	row = MemoryContextAlloc(caller_context, piece.len);
	memcpy(row, piece.data, piece.len);
	row->payload_len = head.payload_len;
	row->size = piece.len;
	row->webhook_id = (char *) row + offset[ROW_WEBHOOK_ID];
	row->org_id = (char *) row + offset[ROW_ORG_ID];
	row->event = (char *) row + offset[ROW_EVENT];
	row->object_id = (char *) row + offset[ROW_OBJECT_ID];
	row->url = (char *) row + offset[ROW_URL];
	row->destination = (char *) row + offset[ROW_DESTINATION];
	row->problem = offset[ROW_PROBLEM] ? (char *) row + offset[ROW_PROBLEM] : NULL;
	if (unfit && row->problem == NULL)
		row->problem = "some of its text has no UTF-8 form";
	row->payload = (char *) row + offset[ROW_PAYLOAD];
	pfree(piece.data);
	return row;
}

static bool
is_foreign(HeapTuple tuple, TupleDesc desc)
{
	return DatumGetInt64(get_value(tuple, desc, ROW_ORIGIN)) != kgw_instance_origin();
}

/* Run a plan with the active snapshot and hand its rows on. */
static int
read_rows(SPIPlanPtr which, Datum *args, KgwRowTaker take, void *arg)
{
	int			count;
	SPITupleTable *table;

	if (SPI_execute_plan(which, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.queue");
	count = SPI_processed;
	table = SPI_tuptable;		/* the taker may use SPI itself */
	for (int i = 0; i < count; i++)
	{
		KgwRow	   *row;
		MemoryContext scratch;

		if (is_foreign(table->vals[i], table->tupdesc))
		{
			met_foreign = true;
			continue;
		}
		row = make_row(table->vals[i], table->tupdesc);
		scratch = MemoryContextSwitchTo(caller_context);
		note_transaction(row->xid);
		take(row, arg);
		MemoryContextSwitchTo(scratch);
	}
	SPI_freetuptable(table);
	return count;
}

/*
 * Whether any row that was to be read since kgw_queue_begin() came from another
 * database.
 */
bool
kgw_queue_met_foreign(void)
{
	return met_foreign;
}

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
	arrivals->xip_count = snapshot->xcnt;
	arrivals->xip = realloc(arrivals->xip, Max(snapshot->xcnt, 1) * sizeof(FullTransactionId));
	if (arrivals->xip == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	for (uint32 i = 0; i < snapshot->xcnt; i++)
		arrivals->xip[i] = widen(snapshot->xip[i], next);
}

/* Run a plan that returns destinations and hand them on. */
static void
read_destinations(SPIPlanPtr which, KgwDestinationTaker take, void *arg)
{
	if (SPI_execute_plan(which, NULL, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read destinations");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *destination = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		MemoryContext scratch = MemoryContextSwitchTo(caller_context);

		take(destination, arg);
		MemoryContextSwitchTo(scratch);
	}
	SPI_freetuptable(SPI_tuptable);
}

/* Name every destination that has deliveries. */
static void
name_destinations(KgwDestinationTaker take, void *arg)
{
	static SPIPlanPtr kept;

	/* a walk from one destination to the next along the index */
	kgw_plan(&kept,
			 "WITH RECURSIVE d(destination) AS ("
			 " (SELECT destination FROM kgwebhook.queue ORDER BY destination LIMIT 1)"
			 " UNION ALL"
			 " SELECT (SELECT q.destination FROM kgwebhook.queue q"
			 "          WHERE q.destination OPERATOR(pg_catalog.>) d.destination"
			 "          ORDER BY q.destination LIMIT 1)"
			 "   FROM d WHERE d.destination IS NOT NULL)"
			 " SELECT destination FROM d WHERE destination IS NOT NULL", 0, NULL);
	read_destinations(kept, take, arg);
}

/*
 * Start over: name every destination that has deliveries, whose rows are then
 * read by destination, and count as arrivals what isn't visible yet.
 */
void
kgw_queue_start(KgwArrivals *arrivals, KgwDestinationTaker take, void *arg)
{
	remember_snapshot(arrivals);
	name_destinations(take, arg);
}

/* Name the destinations that are paused; '*' stands for all of them. */
void
kgw_queue_read_paused(KgwDestinationTaker take, void *arg)
{
	static SPIPlanPtr kept;

	kgw_plan(&kept, "SELECT destination FROM kgwebhook.paused", 0, NULL);
	read_destinations(kept, take, arg);
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
			 "SELECT " COLUMNS " FROM kgwebhook.queue"
			 " WHERE xid OPERATOR(pg_catalog.=) $1"
			 " ORDER BY xid, delivery_id LIMIT $2", 2, types);
	args[0] = FullTransactionIdGetDatum(xid);
	args[1] = Int32GetDatum(limit);
	return read_rows(kept, args, take, arg);
}

/* Read what has been enqueued by transactions that began with this one. */
static int
read_since(FullTransactionId xmax, int limit, KgwRowTaker take, void *arg)
{
	static SPIPlanPtr kept;
	Oid			types[] = {XID8OID, INT4OID};
	Datum		args[2];

	kgw_plan(&kept,
			 "SELECT " COLUMNS " FROM kgwebhook.queue"
			 " WHERE xid OPERATOR(pg_catalog.>=) $1"
			 " ORDER BY xid, delivery_id LIMIT $2", 2, types);
	args[0] = FullTransactionIdGetDatum(xmax);
	args[1] = Int32GetDatum(limit);
	return read_rows(kept, args, take, arg);
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
kgw_queue_read_arrivals(KgwArrivals *arrivals, int limit, KgwRowTaker take,
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
		name_destinations(overflow, arg);
}

/*
 * Whether a transaction that was in progress at the last look has ended since.
 * Needs no transaction; for those whose commit wakes nobody (COMMIT PREPARED).
 */
bool
kgw_queue_ended_unseen(const KgwArrivals *arrivals)
{
	for (int i = 0; i < arrivals->xip_count; i++)
	{
		if (!TransactionIdIsInProgress(XidFromFullTransactionId(arrivals->xip[i])))
			return true;
	}
	return false;
}

/*
 * Read a destination's deliveries with numbers beyond "after", oldest first.
 * Returns how many there were; fewer than "limit" means there are no more.
 */
int
kgw_queue_read_destination(const char *destination, int64 after, int limit,
						   KgwRowTaker take, void *arg)
{
	static SPIPlanPtr kept;
	Oid			types[] = {TEXTOID, INT8OID, INT4OID};
	Datum		args[3];

	kgw_plan(&kept,
			 "SELECT " COLUMNS " FROM kgwebhook.queue"
			 " WHERE destination OPERATOR(pg_catalog.=) $1"
			 "   AND delivery_id OPERATOR(pg_catalog.>) $2"
			 " ORDER BY destination, delivery_id LIMIT $3", 3, types);
	args[0] = CStringGetTextDatum(destination);
	args[1] = Int64GetDatum(after);
	args[2] = Int32GetDatum(limit);
	return read_rows(kept, args, take, arg);
}

/* Read deliveries by number; those that are gone are left out. */
void
kgw_queue_read_ids(const int64 *ids, int count, KgwRowTaker take, void *arg)
{
	static SPIPlanPtr kept;
	Oid			types[] = {INT8ARRAYOID};
	Datum	   *values = palloc(count * sizeof(Datum));
	Datum		array;

	kgw_plan(&kept,
			 "SELECT " COLUMNS " FROM kgwebhook.queue"
			 " WHERE delivery_id OPERATOR(pg_catalog.=) ANY ($1)", 1, types);
	for (int i = 0; i < count; i++)
		values[i] = Int64GetDatum(ids[i]);
	array = PointerGetDatum(construct_array(values, count, INT8OID, sizeof(int64),
											FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	read_rows(kept, &array, take, arg);
}
