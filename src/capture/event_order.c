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
 * queue (own_deliveries.c), and given new numbers, beyond those of the one that was
 * late.
 *
 * The queue doesn't hold the command of the payment's row, but its own row
 * has one, too.  Commands nest: what was enqueued after a command began, and
 * before that command's own events are, was done by commands within it.  So of
 * the object's deliveries that this transaction has enqueued, those that were
 * put there by a later command than the one that made the late version are newer,
 * and all others are older.
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

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "capture/event_order.h"
#include "capture/fanout.h"
#include "capture/own_deliveries.h"
#include "pg/compat.h"
#include "pg/extension.h"

/* The newest version of which this transaction has enqueued an event. */
static CommandId newest;

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
		kgw_fanout_shape(kgw_own_deliveries_text(row, queue, KGW_QUEUE_ORG_ID), DatumGetInt64(subscription));

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

	foreach(lc, kgw_own_deliveries_of(queue, event, version + 1))
	{
		HeapTuple	row = lfirst(lc);
		char	   *webhook_id = kgw_own_deliveries_text(row, queue, KGW_QUEUE_WEBHOOK_ID);

		if (strcmp(webhook_id, event->webhook_id) == 0)
			continue;
		kgw_own_deliveries_write(row,
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
	if (kgw_own_deliveries_note(delivery_id, event->held_for != NULL))
		newest = 0;
	if (version >= newest)
		newest = version;
	else
		put_newer_behind(watch, event, version);
}
