/*-------------------------------------------------------------------------
 *
 * event_order.c
 *	  The order of an object's events within one transaction: that in which the
 *	  versions of its row were made, which isn't that in which triggers fire.
 *
 * A statement's AFTER triggers fire at its end, one after the other by name, and
 * whatever a trigger or a function of the user's does in between has fired its
 * own by then.  So where one of them moves the row on, the newer version's event
 * is enqueued first, and has the smaller number.  No name of our trigger helps:
 * a nested UPDATE of several rows comes before the second row's turn anyway.
 *
 * What tells versions apart is the command that made them, which the heap keeps
 * in each (cmin): numbers of commands rise throughout a transaction, whatever
 * its savepoints do, and no command makes two versions of one row.  An event that
 * is older than one that was enqueued before is a rare thing, and known by one
 * comparison.  Only then are the object's newer events looked for in the
 * queue, and given new numbers, beyond those of the one that was late.
 *
 * The queue doesn't hold the command of the payment's row, but its own row
 * has one, too.  Commands nest: what was enqueued after a command began, and
 * before that command's own events are, was done by commands within it.  So of
 * the object's deliveries that this transaction has enqueued, those that were
 * put there by a later command than the one that made the late version are newer,
 * and all others are older.
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
 * A function that in the midst of an INSERT's own query updates an object, deletes
 * it, and so makes way for the INSERT of the same object is not told apart: that
 * version has the lower command, and its event goes first.
 *
 * src/capture/event_order.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/skey.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

#include "capture/event_order.h"
#include "capture/fanout.h"
#include "pg/compat.h"
#include "pg/extension.h"
#include "pg/text_hash.h"
#include "shmem/commit_callback.h"

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
	CommandId	newest;			/* version of which an event was enqueued */
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

/*
 * Which version of its object this row of an AFTER INSERT or UPDATE trigger is:
 * a higher number is newer.  A row without a command of its own, which only the
 * heap has, is the newest.
 */
CommandId
kgw_event_order_version(Relation rel, HeapTuple row)
{
	HeapTupleHeader header = row->t_data;

	if (rel->rd_rel->relam != HEAP_TABLE_AM_OID || HeapTupleHeaderXminFrozen(header) ||
		!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmin(header)))
		return GetCurrentCommandId(false);
	return HeapTupleHeaderGetCmin(header);
}

char *
kgw_event_order_text(HeapTuple row, Relation queue, int column)
{
	bool		isnull;

	return TextDatumGetCString(heap_getattr(row, column, RelationGetDescr(queue), &isnull));
}

int64
kgw_event_order_number(HeapTuple row, Relation queue)
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
	char	   *org_id = kgw_event_order_text(row, queue, KGW_QUEUE_ORG_ID);
	char	   *object_id = kgw_event_order_text(row, queue, KGW_QUEUE_OBJECT_ID);
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
	entry->delivery_ids[entry->count++] = kgw_event_order_number(row, queue);
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
		enqueued.from = Min(enqueued.from, kgw_event_order_number(row, place));
		enqueued.to = Max(enqueued.to, kgw_event_order_number(row, place));
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

static bool
same_object(HeapTuple row, Relation queue, const KgwNewDelivery *event)
{
	return strcmp(kgw_event_order_text(row, queue, KGW_QUEUE_ORG_ID), event->org_id) == 0 &&
		strcmp(kgw_event_order_text(row, queue, KGW_QUEUE_KIND), event->kind) == 0 &&
		strcmp(kgw_event_order_text(row, queue, KGW_QUEUE_OBJECT_ID), event->object_id) == 0;
}

/* Replace a delivery's row where it stands, delete it (new = NULL), or insert one (old = NULL). */
void
kgw_event_order_write(HeapTuple old, HeapTuple new)
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
kgw_event_order_deliveries(Relation queue, const KgwNewDelivery *object, CommandId since)
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

		if (row != NULL && same_object(row, queue, object) &&
			HeapTupleHeaderGetCmin(row->t_data) >= since)
			deliveries = lappend(deliveries, row);
	}
	return deliveries;
}

/* Whether a member of that name, or any (NULL), is the event's number. */
static bool
is_sequence(const KgwWatch *watch, const KgwShape *shape, const char *name)
{
	/* there the version is the sequence */
	if (watch->version.attnum != InvalidAttrNumber)
		return false;
	for (int i = 0; i < shape->member_count; i++)
	{
		if (shape->members[i].computed == KGW_COMPUTED_SEQUENCE &&
			(name == NULL || strcmp(shape->members[i].name, name) == 0))
			return true;
	}
	return false;
}

/* The shape of what a delivery has as its payload. */
static const KgwShape *
shape_of(const KgwWatch *watch, Relation queue, HeapTuple row)
{
	bool		isnull;
	Datum		subscription = heap_getattr(row, KGW_QUEUE_SUBSCRIPTION_ID, RelationGetDescr(queue), &isnull);
	const char *name = isnull ? NULL :
		kgw_fanout_shape(kgw_event_order_text(row, queue, KGW_QUEUE_ORG_ID), DatumGetInt64(subscription));

	return &watch->shapes[kgw_watch_cache_shape(watch, name)];
}

/* The payload with another $sequence. */
static Jsonb *
with_sequence(const KgwWatch *watch, const KgwShape *shape, Jsonb *payload, int64 sequence)
{
	KgwCompatJsonbState state = {0};
	JsonbIterator *it = JsonbIteratorInit(&payload->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *name = NULL;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		if (token == WJB_VALUE && value.type == jbvNumeric && is_sequence(watch, shape, name))
			value.val.numeric = int64_to_numeric(sequence);
		kgw_compat_push_jsonb(&state, token, token < WJB_BEGIN_ARRAY ? &value : NULL);
	}
	return JsonbValueToJsonb(state.result);
}

/* The row with the next number; *sequence is its event's, which it keeps or draws. */
static HeapTuple
renumbered(const KgwWatch *watch, HeapTuple row, bool same_event, int64 *sequence)
{
	Relation	queue = table_open(row->t_tableOid, NoLock);
	TupleDesc	desc = RelationGetDescr(queue);
	Datum	   *values = palloc(desc->natts * sizeof(Datum));
	bool	   *nulls = palloc(desc->natts * sizeof(bool));
	bool	   *replaced = palloc0(desc->natts * sizeof(bool));
	const KgwShape *shape = shape_of(watch, queue, row);
	int64		number = kgw_enqueue_next_number();

	heap_deform_tuple(row, desc, values, nulls);
	if (!same_event)
		*sequence = number;
	values[KGW_QUEUE_DELIVERY_ID - 1] = Int64GetDatum(number);
	replaced[KGW_QUEUE_DELIVERY_ID - 1] = true;
	if (is_sequence(watch, shape, NULL))
	{
		values[KGW_QUEUE_PAYLOAD - 1] =
			JsonbPGetDatum(with_sequence(watch, shape, DatumGetJsonbP(values[KGW_QUEUE_PAYLOAD - 1]),
										 *sequence));
		replaced[KGW_QUEUE_PAYLOAD - 1] = true;
	}
	row = heap_modify_tuple(row, desc, values, nulls, replaced);
	table_close(queue, NoLock);
	return row;
}

/* The event has come late: send what is newer of its object behind it. */
static void
put_newer_behind(const KgwWatch *watch, const KgwNewDelivery *event, CommandId version)
{
	Relation	queue = table_open(kgw_extension_relation("queue"), RowExclusiveLock);
	char	   *latest = NULL;
	int64		sequence = 0;
	ListCell   *lc;

	foreach(lc, kgw_event_order_deliveries(queue, event, version + 1))
	{
		HeapTuple	row = lfirst(lc);
		char	   *webhook_id = kgw_event_order_text(row, queue, KGW_QUEUE_WEBHOOK_ID);

		if (strcmp(webhook_id, event->webhook_id) == 0)
			continue;
		kgw_event_order_write(row,
							  renumbered(watch, row,
										 latest != NULL && strcmp(latest, webhook_id) == 0,
										 &sequence));
		latest = webhook_id;
	}
	table_close(queue, NoLock);
}

/*
 * Called after an event was enqueued, with the number of the first of its
 * deliveries and the version that it tells of: has its object's events in order.
 */
void
kgw_event_order_keep(const KgwWatch *watch, const KgwNewDelivery *event, CommandId version,
					 int64 delivery_id)
{
	FullTransactionId xid = GetTopFullTransactionId();

	if (!FullTransactionIdEquals(enqueued.xid, xid))
		start_transaction(xid, delivery_id);
	enqueued.held = enqueued.held || event->held_for != NULL;
	if (version >= enqueued.newest)
		enqueued.newest = version;
	else
		put_newer_behind(watch, event, version);
}

/* Whether this transaction may have enqueued anything. */
bool
kgw_event_order_any(void)
{
	return enqueued.first != 0 &&
		FullTransactionIdEquals(enqueued.xid, GetTopFullTransactionIdIfAny());
}
