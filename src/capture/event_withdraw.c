/*-------------------------------------------------------------------------
 *
 * event_withdraw.c
 *	  Events that turn out to be no news before their transaction ends.
 *
 * Some partition managers copy rows first and delete the old ones then.  The
 * copy's INSERT looks like a new object, and its event is in the queue by the
 * time the old row's DELETE tells that the object was there all along.  If the
 * two have the same status, the event goes out of the queue again.
 *
 * That takes away an event, so it is done only where nothing else can be meant:
 * the event is the object's first in this transaction, an INSERT made it, of a
 * row whose object was not known to have been deleted, and the row deleted
 * now is the only one of the object from before that this transaction deletes.  When a
 * second one goes, the table has several rows for an object, a history perhaps,
 * and nobody can say which of them the new row repeats: the event is put back,
 * as it was.  One event is withdrawn for one row, never two.
 *
 * Which events an INSERT made is noted in runs of their numbers, so that a COPY of
 * a million rows costs as much as one.  Where there are too many runs, the rest
 * counts as made otherwise, and stays.
 *
 * Savepoints need no care.  What one takes back is back in the queue, or gone
 * from it, by itself, and that is looked at before anything is done.
 *
 * src/capture/event_withdraw.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "storage/bufmgr.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "capture/event_withdraw.h"
#include "capture/own_deliveries.h"
#include "pg/extension.h"
#include "pg/text_hash.h"
#include "shmem/commit_callback.h"

/* Alternations of INSERT and UPDATE in one transaction: 1 MB. */
#define RUNS_MAX 65536

/* Deliveries of this transaction that INSERTs made, from the one to the other. */
typedef struct KgwRun
{
	int64		first;
	int64		last;
} KgwRun;

/* A delivery that is not in the queue any more; its row is still in the table. */
typedef struct KgwWithdrawn
{
	Oid			relid;			/* the queue, or what is held */
	ItemPointerData place;
	uint32		previous;		/* of an object with the same hash, or NONE */
} KgwWithdrawn;

typedef struct KgwWithdrawnObject
{
	uint64		hash;			/* key */
	uint32		latest;			/* withdrawn */
} KgwWithdrawnObject;

#define NONE PG_UINT32_MAX

/* Of the transaction "xid", in its context. */
static struct
{
	FullTransactionId xid;
	KgwRun	   *runs;			/* ascending */
	int			run_count;
	int			run_room;
	bool		open;			/* the last run goes on */
	KgwWithdrawn *withdrawn;
	uint32		count;
	uint32		room;
	HTAB	   *objects;		/* NULL = nothing was withdrawn yet */
} noted;

static void
start_if_new_transaction(void)
{
	FullTransactionId xid = GetTopFullTransactionIdIfAny();

	if (FullTransactionIdEquals(noted.xid, xid))
		return;
	memset(&noted, 0, sizeof(noted));	/* gone with its transaction */
	noted.xid = xid;
}

static void
make_room_for_run(void)
{
	noted.run_room = Max(4, 2 * noted.run_room);
	if (noted.runs == NULL)
		noted.runs = MemoryContextAlloc(TopTransactionContext, noted.run_room * sizeof(KgwRun));
	else
		noted.runs = repalloc(noted.runs, noted.run_room * sizeof(KgwRun));
}

/* Deliveries were enqueued, from the one number to the other; by an INSERT of a new object? */
void
kgw_event_withdraw_note(int64 first, int64 last, bool created)
{
	start_if_new_transaction();
	if (!created || (!noted.open && noted.run_count == RUNS_MAX))
	{
		noted.open = false;
		return;
	}
	if (noted.open)
	{
		noted.runs[noted.run_count - 1].last = last;
		return;
	}
	if (noted.run_count == noted.run_room)
		make_room_for_run();
	noted.runs[noted.run_count++] = (KgwRun) {.first = first, .last = last};
	noted.open = true;
}

static bool
was_created(int64 delivery_id)
{
	int			low = 0;
	int			high = noted.run_count;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (noted.runs[middle].last < delivery_id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < noted.run_count && noted.runs[low].first <= delivery_id;
}

static uint64
hash_of_object(const KgwNewDelivery *object)
{
	return kgw_text_hash(object->object_id,
						 kgw_text_hash(object->org_id, kgw_text_hash(object->kind, 0)));
}

static bool
is_of_event(HeapTuple row, Relation queue, const char *webhook_id)
{
	return strcmp(kgw_own_deliveries_text(row, queue, KGW_QUEUE_WEBHOOK_ID), webhook_id) == 0;
}

/* The latest that was withdrawn of the object, or of one with the same hash; or NONE. */
static uint32
latest_withdrawn(const KgwNewDelivery *object)
{
	uint64		hash = hash_of_object(object);
	KgwWithdrawnObject  *entry;

	start_if_new_transaction();
	if (noted.objects == NULL)
		return NONE;
	entry = hash_search(noted.objects, &hash, HASH_FIND, NULL);
	return entry == NULL ? NONE : entry->latest;
}

/* Whether this transaction has an event of the object in the queue, or has withdrawn one. */
bool
kgw_event_withdraw_concerns(const KgwNewDelivery *object)
{
	Relation	queue = table_open(kgw_extension_relation("queue"), RowExclusiveLock);
	bool		concerns = latest_withdrawn(object) != NONE ||
		kgw_own_deliveries_of(queue, object, 0) != NIL;

	table_close(queue, NoLock);
	return concerns;
}

static void
start_withdrawing(void)
{
	HASHCTL		ctl = {.keysize = sizeof(uint64), .entrysize = sizeof(KgwWithdrawnObject),
	.hcxt = TopTransactionContext};

	noted.room = 4;
	noted.withdrawn = MemoryContextAlloc(TopTransactionContext, noted.room * sizeof(KgwWithdrawn));
	noted.objects = hash_create("kgwebhook withdrawn", 64, &ctl,
								HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void
note_withdrawn(HeapTuple row, const KgwNewDelivery *event)
{
	uint64		hash = hash_of_object(event);
	KgwWithdrawnObject  *object;
	bool		found;

	if (noted.objects == NULL)
		start_withdrawing();
	if (noted.count == noted.room)
	{
		noted.room *= 2;
		noted.withdrawn = repalloc_huge(noted.withdrawn,
										(Size) noted.room * sizeof(KgwWithdrawn));
	}
	object = hash_search(noted.objects, &hash, HASH_ENTER, &found);
	noted.withdrawn[noted.count].relid = row->t_tableOid;
	noted.withdrawn[noted.count].place = row->t_self;
	noted.withdrawn[noted.count].previous = found ? object->latest : NONE;
	object->latest = noted.count++;
}

/*
 * The object has had a status since before this transaction.  If the first event
 * of it that the transaction has enqueued is named "event", and an INSERT made
 * it, that was no change, and no receiver is to hear of it.  Of "event", kind,
 * names and event count.
 */
void
kgw_event_withdraw(const KgwNewDelivery *event)
{
	Relation	queue = table_open(kgw_extension_relation("queue"), RowExclusiveLock);
	List	   *deliveries = kgw_own_deliveries_of(queue, event, 0);
	char	   *webhook_id = NULL;
	ListCell   *lc;

	start_if_new_transaction();
	if (deliveries != NIL &&
		was_created(kgw_own_deliveries_number(linitial(deliveries), queue)) &&
		strcmp(kgw_own_deliveries_text(linitial(deliveries), queue, KGW_QUEUE_EVENT),
			   event->event) == 0)
		webhook_id = kgw_own_deliveries_text(linitial(deliveries), queue, KGW_QUEUE_WEBHOOK_ID);
	foreach(lc, deliveries)
	{
		HeapTuple	row = lfirst(lc);

		if (webhook_id == NULL || !is_of_event(row, queue, webhook_id))
			continue;
		note_withdrawn(row, event);
		kgw_own_deliveries_write(row, NULL);
		if (row->t_tableOid == RelationGetRelid(queue))
			kgw_commit_callback_wake(-1);
	}
	table_close(queue, NoLock);
}

/* A copy of a row that this transaction has put into the queue and taken out, or NULL. */
static HeapTuple
fetch_withdrawn(const KgwWithdrawn *withdrawn)
{
	Relation	rel = table_open(withdrawn->relid, RowExclusiveLock);
	HeapTupleData row = {.t_self = withdrawn->place};
	HeapTuple	copy = NULL;
	Buffer		buffer;

	if (heap_fetch(rel, SnapshotAny, &row, &buffer, false))
	{
		if (TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(row.t_data)) &&
			(row.t_data->t_infomask & HEAP_XMAX_INVALID) == 0 &&
			TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(row.t_data)))
			copy = heap_copytuple(&row);
		ReleaseBuffer(buffer);
	}
	table_close(rel, NoLock);
	return copy;
}

static bool
is_there(List *deliveries, Relation queue, const char *webhook_id)
{
	ListCell   *lc;

	foreach(lc, deliveries)
	{
		if (is_of_event(lfirst(lc), queue, webhook_id))
			return true;
	}
	return false;
}

/* Put back what was withdrawn of the object's, under its old number. */
void
kgw_event_withdraw_undo(const KgwNewDelivery *object)
{
	uint32		i = latest_withdrawn(object);
	Relation	queue;
	List	   *deliveries;

	if (i == NONE)
		return;
	queue = table_open(kgw_extension_relation("queue"), RowExclusiveLock);
	deliveries = kgw_own_deliveries_of(queue, object, 0);
	for (; i != NONE; i = noted.withdrawn[i].previous)
	{
		HeapTuple	row = fetch_withdrawn(&noted.withdrawn[i]);

		if (row == NULL || !kgw_own_deliveries_is_of(row, queue, object) ||
			is_there(deliveries, queue,
					 kgw_own_deliveries_text(row, queue, KGW_QUEUE_WEBHOOK_ID)))
			continue;
		kgw_own_deliveries_write(NULL, row);
		if (row->t_tableOid == RelationGetRelid(queue))
			kgw_commit_callback_wake(1);
	}
	table_close(queue, NoLock);
}
