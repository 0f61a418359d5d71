/*-------------------------------------------------------------------------
 *
 * queue_delete.c
 *	  Taking a delivery that is done out of kgwebhook.queue.
 *
 * Most deliveries are acknowledged by their first attempt, a moment after they
 * were read, and are still where they were read.  So they are deleted there,
 * without asking an index where that is: a third of what a DELETE costs.
 *
 * A place is only a hint.  The row may have been updated, deleted or moved to
 * another page since, and another delivery may have taken its place.  So what is
 * there must be visible and have our number, and the snapshot that saw it keeps
 * it from being replaced until it is deleted.  Whatever is not as it was read is
 * left to the caller, who looks it up by number.
 *
 * It never waits for a row that someone holds, and never goes past a trigger that
 * someone has put on the table: what they want to see or forbid, a DELETE shows them.
 *
 * src/queue/queue_delete.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "pg/compat.h"
#include "pg/extension.h"
#include "queue/queue_delete.h"

/* Column of kgwebhook.queue, from 1. */
#define QUEUE_DELIVERY_ID 1

struct KgwDequeuer
{
	Relation	rel;
	bool		watched;		/* by a trigger that would fire */
	BlockNumber blocks;			/* the table can't shrink while it is open */
	TupleTableSlot *slot;
};

/* Whether a DELETE of this session fires any of these triggers; ours it doesn't. */
static bool
is_watched(const TriggerDesc *triggers)
{
	char		other = SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA ?
		TRIGGER_FIRES_ON_ORIGIN : TRIGGER_FIRES_ON_REPLICA;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (TRIGGER_FOR_DELETE(trigger->tgtype) && trigger->tgenabled != other &&
			trigger->tgenabled != TRIGGER_DISABLED)
			return true;
	}
	return false;
}

/*
 * Open the queue for taking deliveries out of it, in the current transaction and
 * memory context, with an active snapshot.
 */
KgwDequeuer *
kgw_queue_delete_begin(void)
{
	KgwDequeuer *dequeuer = palloc(sizeof(KgwDequeuer));

	dequeuer->rel = table_open(kgw_extension_relation("queue"), RowExclusiveLock);
	dequeuer->watched = is_watched(dequeuer->rel->trigdesc);
	dequeuer->blocks = RelationGetNumberOfBlocks(dequeuer->rel);
	dequeuer->slot = table_slot_create(dequeuer->rel, NULL);
	return dequeuer;
}

/* Whether the row's place still has what was read there. */
static bool
is_in_place(KgwDequeuer *dequeuer, const KgwDelivery *row)
{
	ItemPointerData place = row->place;
	bool		isnull;

	return ItemPointerGetBlockNumber(&place) < dequeuer->blocks &&
		table_tuple_fetch_row_version(dequeuer->rel, &place, GetActiveSnapshot(),
									  dequeuer->slot) &&
		DatumGetInt64(slot_getattr(dequeuer->slot, QUEUE_DELIVERY_ID, &isnull)) ==
		row->delivery_id;
}

/*
 * Delete the row where it was read.  False when it isn't there as it was, or
 * someone holds it, or a trigger is to see it go; nothing has been done then.
 */
bool
kgw_queue_delete(KgwDequeuer *dequeuer, const KgwDelivery *row)
{
	ItemPointerData place = row->place;
	TM_FailureData failure;
	bool		deleted;

	deleted = !dequeuer->watched && ItemPointerIsValid(&place) &&
		is_in_place(dequeuer, row) &&
		kgw_compat_table_tuple_delete(dequeuer->rel, &place, GetCurrentCommandId(true),
									  GetActiveSnapshot(), &failure) == TM_Ok;
	ExecClearTuple(dequeuer->slot);
	return deleted;
}

/* Close the queue; locks stay until the transaction's end. */
void
kgw_queue_delete_end(KgwDequeuer *dequeuer)
{
	ExecDropSingleTupleTableSlot(dequeuer->slot);
	table_close(dequeuer->rel, NoLock);
	pfree(dequeuer);
}
