/*-------------------------------------------------------------------------
 *
 * queue_read.c
 *	  Reading kgwebhook.queue.
 *
 * One worker owns a destination's deliveries and remembers what it is sending,
 * so reading claims nothing and writes nothing.  Three ways to read:
 *
 *	arrivals	 What has become visible since the last look (new_rows.c).
 *	destination	 The backlog of one destination, oldest first, from where memory
 *				 ended.
 *	ids			 Rows whose payload was let go while they waited for a retry.
 *
 * Every read is a short transaction: begin, read, end.  A callback must never
 * leave for a payment that a crash could still undo, so kgw_queue_read_end() first
 * flushes the WAL of every transaction whose rows were read and that committed
 * asynchronously.
 *
 * A row that was enqueued in another database, and is here because it was
 * restored, is never handed on, only noted: kgw_queue_read_met_foreign().
 *
 * This file must never be called while a request is being handed to libcurl,
 * and holds no lock or snapshot outside of begin and end.
 *
 * src/queue/queue_read.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/lwlock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "pg/compat.h"
#include "pg/saved_plan.h"
#include "pg/transaction.h"
#include "queue/queue_read.h"
#include "queue/replicated.h"
#include "queue/unreadable.h"

/* What is read at once becomes deliveries up to this many bytes; the rest when it is taken. */
#define UNPACKED_BYTES (1024 * 1024)

/* The context that was current at kgw_queue_read_begin(); rows are made there. */
static MemoryContext reader_context;

/* The newest WAL position that what was read depends on. */
static XLogRecPtr read_lsn;

/* The transaction that was noted last since kgw_queue_read_begin(). */
static FullTransactionId noted_xid;

/* Whether a row of another database was met since kgw_queue_read_begin(). */
static bool met_foreign;

/*
 * Begin a short transaction for reading, with one snapshot for all of it.
 */
void
kgw_queue_read_begin(void)
{
	reader_context = CurrentMemoryContext;
	read_lsn = InvalidXLogRecPtr;
	noted_xid = InvalidFullTransactionId;
	met_foreign = false;
	kgw_transaction_begin("reading kgwebhook.queue");
}

/*
 * End it, and make sure that everything read from it will survive a crash.
 */
void
kgw_queue_read_end(void)
{
	kgw_transaction_end();
	if (FullTransactionIdIsValid(noted_xid))
		kgw_replicated_require();
	if (read_lsn != InvalidXLogRecPtr && XLogNeedsFlush(read_lsn))
		XLogFlush(read_lsn);
}

/*
 * Note that a row of this transaction was read.  An asynchronous commit leaves
 * its WAL position in the commit log's memory, which is the only trace of it;
 * transactions that are older than the commit log were flushed long ago.
 */
static void
note_transaction(FullTransactionId xid)
{
	TransactionId short_xid = XidFromFullTransactionId(xid);
	XLogRecPtr	lsn = InvalidXLogRecPtr;

	if (FullTransactionIdEquals(xid, noted_xid) || !TransactionIdIsNormal(short_xid))
		return;
	noted_xid = xid;
	LWLockAcquire(XactTruncationLock, LW_SHARED);
	if (!TransactionIdPrecedes(short_xid, TransamVariables->oldestClogXid) &&
		FullTransactionIdPrecedes(xid, TransamVariables->nextXid))
		lsn = TransactionIdGetCommitLSN(short_xid);
	LWLockRelease(XactTruncationLock);
	if (lsn > read_lsn)
		read_lsn = lsn;
}

/* A row that was read: a delivery already, or the copy of a tuple that becomes one. */
typedef struct KgwReadRow
{
	KgwDelivery *row;
	HeapTuple	packed;
} KgwReadRow;

/* What a plan returns, while it runs. */
typedef struct KgwRowReceiver
{
	DestReceiver pub;
	TupleDesc	desc;
	MemoryContext own;			/* what lives until all are taken */
	MemoryContext scratch;
	KgwReadRow *rows;
	int			count;
	int			room;
	int			foreign;
	Size		unpacked;		/* bytes of the deliveries */
} KgwRowReceiver;

/* A delivery, made of this; what that took besides is given back at once. */
static KgwDelivery *
make_delivery(KgwRowReceiver *receiver, const KgwRowValues *from)
{
	MemoryContext caller = MemoryContextSwitchTo(receiver->scratch);
	KgwDelivery *row = kgw_unreadable_guard(from, receiver->desc, reader_context);

	MemoryContextReset(receiver->scratch);
	MemoryContextSwitchTo(caller);
	return row;
}

/*
 * Deliveries are made out of the executor's own slot, because copies of all rows, such as SPI
 * makes, cost a fifth of the reading.  But only up to UNPACKED_BYTES: the taker may want no more
 * before the last, and a row can be a thousand times as large as its tuple.
 */
static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	KgwRowReceiver *receiver = (KgwRowReceiver *) self;
	KgwRowValues from;
	KgwReadRow *read;

	slot_getallattrs(slot);
	from.values = slot->tts_values;
	from.nulls = slot->tts_isnull;
	if (kgw_delivery_is_foreign(&from))
	{
		receiver->foreign++;
		return true;
	}
	if (receiver->count == receiver->room)
	{
		receiver->room *= 2;
		receiver->rows = repalloc_huge(receiver->rows, receiver->room * sizeof(KgwReadRow));
	}
	read = &receiver->rows[receiver->count++];
	memset(read, 0, sizeof(*read));
	if (receiver->unpacked >= UNPACKED_BYTES)
	{
		MemoryContext caller = MemoryContextSwitchTo(receiver->own);

		read->packed = ExecCopySlotHeapTuple(slot);
		MemoryContextSwitchTo(caller);
		return true;
	}
	read->row = make_delivery(receiver, &from);
	receiver->unpacked += read->row->size;
	return true;
}

static void
receive_begin(DestReceiver *self, int operation, TupleDesc desc)
{
	KgwRowReceiver *receiver = (KgwRowReceiver *) self;
	MemoryContext caller = MemoryContextSwitchTo(receiver->own);	/* the executor's ends with it */

	Assert(desc->natts == KGW_ROW_COLUMN_COUNT);
	receiver->desc = CreateTupleDescCopy(desc);
	MemoryContextSwitchTo(caller);
}

static void
receive_end(DestReceiver *self)
{
}

/* The delivery that was read, in the reader's context. */
static KgwDelivery *
unpack(KgwRowReceiver *receiver, const KgwReadRow *read)
{
	Datum		values[KGW_ROW_COLUMN_COUNT];
	bool		nulls[KGW_ROW_COLUMN_COUNT];

	if (read->row != NULL)
		return read->row;
	heap_deform_tuple(read->packed, receiver->desc, values, nulls);
	return make_delivery(receiver, &(KgwRowValues) {values, nulls});
}

/*
 * Run a plan that returns KGW_ROW_COLUMNS with the active snapshot, and hand its
 * rows on, one by one.  Returns how many there were, those of other databases
 * included; *stopped when the taker wanted no more.
 */
int
kgw_queue_read_rows(SPIPlanPtr which, Datum *args, int nargs, KgwRowTaker take, void *arg,
					bool *stopped)
{
	MemoryContext own = AllocSetContextCreate(CurrentMemoryContext, "kgwebhook rows",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(own);
	KgwRowReceiver receiver = {
		.pub = {receive_row, receive_begin, receive_end, receive_end, DestNone},
		.own = own,
		.room = 64
	};

	receiver.scratch = AllocSetContextCreate(own, "kgwebhook row", ALLOCSET_DEFAULT_SIZES);
	receiver.rows = palloc(receiver.room * sizeof(KgwReadRow));
	kgw_saved_plan_receive(which, args, nargs, &receiver.pub);
	met_foreign |= receiver.foreign > 0;
	*stopped = false;
	MemoryContextSwitchTo(reader_context);
	for (int i = 0; i < receiver.count; i++)
	{
		KgwDelivery *row;

		if (*stopped)
		{
			if (receiver.rows[i].row != NULL)
				pfree(receiver.rows[i].row);
			continue;
		}
		row = unpack(&receiver, &receiver.rows[i]);
		note_transaction(row->xid);
		*stopped = !take(row, arg);	/* which may use SPI itself */
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(own);
	return receiver.count + receiver.foreign;
}

/*
 * Whether any row that was to be read since kgw_queue_read_begin() came from another
 * database.
 */
bool
kgw_queue_read_met_foreign(void)
{
	return met_foreign;
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
		MemoryContext scratch = MemoryContextSwitchTo(reader_context);

		take(destination, arg);
		MemoryContextSwitchTo(scratch);
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Run a plan that returns destinations, their lowest numbers, and how many rows that
 * stands for, and hand them on.  Returns how many rows there were.
 */
int64
kgw_queue_read_firsts(SPIPlanPtr which, Datum *args, KgwOverflowTaker take, void *arg)
{
	int64		rows = 0;

	if (SPI_execute_plan(which, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.queue");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		char	   *destination = SPI_getvalue(tuple, desc, 1);
		bool		isnull;
		int64		first = DatumGetInt64(SPI_getbinval(tuple, desc, 2, &isnull));
		MemoryContext scratch = MemoryContextSwitchTo(reader_context);

		rows += DatumGetInt64(SPI_getbinval(tuple, desc, 3, &isnull));
		take(destination, first, arg);
		MemoryContextSwitchTo(scratch);
	}
	SPI_freetuptable(SPI_tuptable);
	return rows;
}

/* Name every destination that has deliveries. */
void
kgw_queue_read_name_destinations(KgwDestinationTaker take, void *arg)
{
	static SPIPlanPtr kept;

	/* a walk from one destination to the next along the index */
	kgw_saved_plan(&kept,
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

/* Name the destinations that are paused; '*' stands for all of them. */
void
kgw_queue_read_paused(KgwDestinationTaker take, void *arg)
{
	static SPIPlanPtr kept;

	kgw_saved_plan(&kept, "SELECT destination FROM kgwebhook.paused", 0, NULL);
	read_destinations(kept, take, arg);
}

/*
 * Read a destination's deliveries with numbers beyond "after", oldest first.
 * Returns whether there may be more.
 */
bool
kgw_queue_read_destination(const char *destination, int64 after, int limit,
						   KgwRowTaker take, void *arg)
{
	static SPIPlanPtr kept;
	Oid			types[] = {TEXTOID, INT8OID, INT4OID};
	Datum		args[3];
	bool		stopped;

	kgw_saved_plan(&kept,
			 "SELECT " KGW_ROW_COLUMNS " FROM kgwebhook.queue"
			 " WHERE destination OPERATOR(pg_catalog.=) $1"
			 "   AND delivery_id OPERATOR(pg_catalog.>) $2"
			 " ORDER BY destination, delivery_id LIMIT $3", 3, types);
	args[0] = CStringGetTextDatum(destination);
	args[1] = Int64GetDatum(after);
	args[2] = Int32GetDatum(limit);
	return kgw_queue_read_rows(kept, args, 3, take, arg, &stopped) == limit || stopped;
}

/*
 * Read deliveries by number; those that are gone are left out.  False when the taker
 * wanted no more before all were read.
 */
bool
kgw_queue_read_ids(const int64 *ids, int count, KgwRowTaker take, void *arg)
{
	static SPIPlanPtr kept;
	Oid			types[] = {INT8ARRAYOID};
	Datum	   *values = palloc(count * sizeof(Datum));
	Datum		array;
	bool		stopped;

	kgw_saved_plan(&kept,
			 "SELECT " KGW_ROW_COLUMNS " FROM kgwebhook.queue"
			 " WHERE delivery_id OPERATOR(pg_catalog.=) ANY ($1)", 1, types);
	for (int i = 0; i < count; i++)
		values[i] = Int64GetDatum(ids[i]);
	array = PointerGetDatum(construct_array(values, count, INT8OID, sizeof(int64),
											FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	kgw_queue_read_rows(kept, &array, 1, take, arg, &stopped);
	return !stopped;
}
