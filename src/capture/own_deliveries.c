/*-------------------------------------------------------------------------
 *
 * own_deliveries.c
 *	  What this transaction has put into the queue: found by object, and written again.
 *
 * Deliveries are found by the transaction that made them, of which the queue has an
 * index, and read as the transaction itself sees them.  The command that put a row
 * there, which the heap keeps in it (cmin), says what came after what.
 *
 * What was looked up is remembered by object until the transaction ends, or a
 * statement over many rows would search all that it has enqueued for each.
 * Nothing is remembered where no event is late.  Numbers that a savepoint has
 * taken back are simply not found any more; a late event and those it sends
 * behind it always belong to the same savepoint.
 *
 * Deliveries that a node holds back stand in kgwebhook.held, which has the queue's
 * columns and numbers from the same sequence: they are looked for there as well, by a
 * transaction that has put one there.
 *
 * src/capture/own_deliveries.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/skey.h"
#include "access/table.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

#include "capture/own_deliveries.h"
#include "pg/compat.h"
#include "pg/extension.h"
#include "pg/text_hash.h"

/* Deliveries of an object, or of several whose names have the same hash. */
typedef struct KgwEnqueued
{
	uint64		object;			/* hash key */
	int			count;
	int			room;
	int64	   *delivery_ids;	/* ascending */
} KgwEnqueued;

/* What this transaction has enqueued; all zero in one that has nothing. */
static struct
{
	FullTransactionId xid;
	int64		first;			/* delivery; smaller numbers were there before */
	bool		held;			/* some are in kgwebhook.held */
	HTAB	   *objects;		/* NULL = none were looked up yet */
	int64		from,
				to;				/* deliveries that were looked up */
	CommandId	since;			/* those below "from" are of earlier commands */
} enqueued;

static void
start_transaction(FullTransactionId xid, int64 delivery_id)
{
	memset(&enqueued, 0, sizeof(enqueued));
	enqueued.xid = xid;
	enqueued.first = delivery_id;
}

/* Where deliveries stand, from 0 on: the queue, and what is held if this transaction holds any. */
static Relation
open_place(int i)
{
	static const char *const places[] = {"queue", "held"};

	return i < (enqueued.held ? 2 : 1) ?
		table_open(kgw_extension_relation(places[i]), RowExclusiveLock) : NULL;
}

char *
kgw_own_deliveries_text(HeapTuple row, Relation queue, int column)
{
	bool		isnull;

	return TextDatumGetCString(heap_getattr(row, column, RelationGetDescr(queue), &isnull));
}

int64
kgw_own_deliveries_number(HeapTuple row, Relation queue)
{
	bool		isnull;

	return DatumGetInt64(heap_getattr(row, KGW_QUEUE_DELIVERY_ID, RelationGetDescr(queue), &isnull));
}

static int
compare_numbers(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

static void
remember(HeapTuple row, Relation queue)
{
	char	   *org_id = kgw_own_deliveries_text(row, queue, KGW_QUEUE_ORG_ID);
	char	   *object_id = kgw_own_deliveries_text(row, queue, KGW_QUEUE_OBJECT_ID);
	uint64		hash = kgw_text_hash(object_id, kgw_text_hash(org_id, 0));
	bool		found;
	KgwEnqueued *entry = hash_search(enqueued.objects, &hash, HASH_ENTER, &found);

	if (!found)
	{
		entry->count = 0;
		entry->room = 2;
		entry->delivery_ids = MemoryContextAlloc(TopTransactionContext,
												 entry->room * sizeof(int64));
	}
	if (entry->count == entry->room)
	{
		entry->room *= 2;
		entry->delivery_ids = repalloc(entry->delivery_ids, entry->room * sizeof(int64));
	}
	entry->delivery_ids[entry->count++] = kgw_own_deliveries_number(row, queue);
	pfree(org_id);
	pfree(object_id);
}

/* The part of look_up() in one place, by its index of transactions and numbers. */
static void
look_up_in(Relation place, const char *index_name, int64 above, int64 below, CommandId since)
{
	Relation	index = index_open(kgw_extension_relation(index_name), AccessShareLock);
	ScanKeyData keys[3];
	SysScanDesc scan;
	HeapTuple	row;

	ScanKeyInit(&keys[0], KGW_QUEUE_XID, BTEqualStrategyNumber, F_XID8EQ,
				FullTransactionIdGetDatum(enqueued.xid));
	ScanKeyInit(&keys[1], KGW_QUEUE_DELIVERY_ID, BTGreaterStrategyNumber, F_INT8GT,
				Int64GetDatum(above));
	ScanKeyInit(&keys[2], KGW_QUEUE_DELIVERY_ID, BTLessStrategyNumber, F_INT8LT,
				Int64GetDatum(below));
	scan = systable_beginscan_ordered(place, index, SnapshotSelf, 3, keys);
	while (HeapTupleIsValid(row = systable_getnext_ordered(scan, BackwardScanDirection)))
	{
		if (!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(row->t_data)))
			continue;			/* someone has written our number into it */
		if (HeapTupleHeaderGetCmin(row->t_data) < since)
			break;
		remember(row, place);
		enqueued.from = Min(enqueued.from, kgw_own_deliveries_number(row, place));
		enqueued.to = Max(enqueued.to, kgw_own_deliveries_number(row, place));
	}
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
}

/*
 * Remember this transaction's deliveries with numbers between the two, the
 * latest first, until one was enqueued before the command "since".
 */
static void
look_up(int64 above, int64 below, CommandId since)
{
	static const char *const indexes[] = {"queue_xid_idx", "held_xid_idx"};
	Relation	place;

	for (int i = 0; (place = open_place(i)) != NULL; i++)
	{
		look_up_in(place, indexes[i], above, below, since);
		table_close(place, NoLock);
	}
}

/* Have all been looked up that were enqueued by the command, or later. */
static void
look_up_since(CommandId since)
{
	HASHCTL		ctl = {0};

	if (enqueued.objects == NULL)
	{
		ctl.keysize = sizeof(uint64);
		ctl.entrysize = sizeof(KgwEnqueued);
		ctl.hcxt = TopTransactionContext;
		enqueued.objects = hash_create("kgwebhook order", 64, &ctl,
									   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		enqueued.from = PG_INT64_MAX;
		enqueued.to = enqueued.first - 1;
		enqueued.since = PG_UINT32_MAX;
	}
	else
		look_up(enqueued.to, PG_INT64_MAX, 0);
	if (since >= enqueued.since)
		return;
	look_up(enqueued.first - 1, enqueued.from, since);
	enqueued.since = since;
}

/* A delivery of this transaction by its number, or NULL: it is gone again. */
static HeapTuple
find_delivery(int64 delivery_id)
{
	static const char *const indexes[] = {"queue_pkey", "held_pkey"};
	Relation	place;
	HeapTuple	found = NULL;

	for (int i = 0; found == NULL && (place = open_place(i)) != NULL; i++)
	{
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	row;

		ScanKeyInit(&key, KGW_QUEUE_DELIVERY_ID, BTEqualStrategyNumber, F_INT8EQ,
					Int64GetDatum(delivery_id));
		scan = systable_beginscan(place, kgw_extension_relation(indexes[i]), true, SnapshotSelf, 1, &key);
		row = systable_getnext(scan);
		if (HeapTupleIsValid(row) &&
			TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(row->t_data)))
			found = heap_copytuple(row);
		systable_endscan(scan);
		table_close(place, NoLock);
	}
	return found;
}

/* Whether a delivery is of the object. */
bool
kgw_own_deliveries_is_of(HeapTuple row, Relation queue, const KgwNewDelivery *event)
{
	return strcmp(kgw_own_deliveries_text(row, queue, KGW_QUEUE_ORG_ID), event->org_id) == 0 &&
		strcmp(kgw_own_deliveries_text(row, queue, KGW_QUEUE_KIND), event->kind) == 0 &&
		strcmp(kgw_own_deliveries_text(row, queue, KGW_QUEUE_OBJECT_ID), event->object_id) == 0;
}

/* Replace a delivery's row where it stands, delete it (new = NULL), or insert one (old = NULL). */
void
kgw_own_deliveries_write(HeapTuple old, HeapTuple new)
{
	Relation	queue = table_open((old != NULL ? old : new)->t_tableOid, RowExclusiveLock);
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *target = makeNode(ResultRelInfo);
	TupleTableSlot *old_slot = MakeSingleTupleTableSlot(RelationGetDescr(queue), &TTSOpsHeapTuple);
	TupleTableSlot *new_slot = MakeSingleTupleTableSlot(RelationGetDescr(queue), &TTSOpsHeapTuple);
	EPQState	epq;

	kgw_compat_eval_plan_qual_init(&epq, estate);
	InitResultRelInfo(target, queue, 0, NULL, 0);
	ExecOpenIndices(target, false);
	if (old != NULL)
		ExecStoreHeapTuple(old, old_slot, false);
	if (new != NULL)
		ExecStoreHeapTuple(new, new_slot, false);
	if (new == NULL)
		ExecSimpleRelationDelete(target, estate, &epq, old_slot);
	else if (old == NULL)
		ExecSimpleRelationInsert(target, estate, new_slot);
	else
		ExecSimpleRelationUpdate(target, estate, &epq, old_slot, new_slot);

	ExecCloseIndices(target);
	EvalPlanQualEnd(&epq);
	ExecDropSingleTupleTableSlot(new_slot);
	ExecDropSingleTupleTableSlot(old_slot);
	FreeExecutorState(estate);
	table_close(queue, NoLock);
}

/*
 * This transaction's deliveries for the object, enqueued by the command "since"
 * or later, by their numbers: a list of copies.
 */
List *
kgw_own_deliveries_of(Relation queue, const KgwNewDelivery *object, CommandId since)
{
	uint64		hash = kgw_text_hash(object->object_id, kgw_text_hash(object->org_id, 0));
	List	   *deliveries = NIL;
	KgwEnqueued *entry;

	/* or the last command's deliveries could be seen, but not changed */
	CommandCounterIncrement();
	look_up_since(since);
	entry = hash_search(enqueued.objects, &hash, HASH_FIND, NULL);
	if (entry == NULL)
		return NIL;
	qsort(entry->delivery_ids, entry->count, sizeof(int64), compare_numbers);
	for (int i = 0; i < entry->count; i++)
	{
		/* it may have been taken back, or numbered again */
		HeapTuple	row = find_delivery(entry->delivery_ids[i]);

		if (row != NULL && kgw_own_deliveries_is_of(row, queue, object) &&
			HeapTupleHeaderGetCmin(row->t_data) >= since)
			deliveries = lappend(deliveries, row);
	}
	return deliveries;
}

/* Note that there are deliveries from this number on; true for the transaction's first. */
bool
kgw_own_deliveries_note(int64 delivery_id, bool held)
{
	FullTransactionId xid = GetTopFullTransactionId();
	bool		first = !FullTransactionIdEquals(enqueued.xid, xid);

	if (first)
		start_transaction(xid, delivery_id);
	enqueued.held = enqueued.held || held;
	return first;
}

/* Whether this transaction may have enqueued anything. */
bool
kgw_own_deliveries_any(void)
{
	return enqueued.first != 0 &&
		FullTransactionIdEquals(enqueued.xid, GetTopFullTransactionIdIfAny());
}
