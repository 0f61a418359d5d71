/*-------------------------------------------------------------------------
 *
 * own_deliveries.h
 *	  What this transaction has put into the queue.
 *
 * src/capture/own_deliveries.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CAPTURE_OWN_DELIVERIES_H
#define KGW_CAPTURE_OWN_DELIVERIES_H

#include "access/htup.h"
#include "nodes/pg_list.h"
#include "utils/rel.h"

#include "capture/enqueue.h"

/* Columns of kgwebhook.queue, from 1. */
enum
{
	KGW_QUEUE_DELIVERY_ID = 1, KGW_QUEUE_WEBHOOK_ID, KGW_QUEUE_ORG_ID, KGW_QUEUE_EVENT,
	KGW_QUEUE_KIND, KGW_QUEUE_OBJECT_ID, KGW_QUEUE_PAYLOAD = 9, KGW_QUEUE_XID = 13,
	KGW_QUEUE_SUBSCRIPTION_ID = 17
};

/*
 * Note that an event was enqueued, whose first delivery has this number; "held": in
 * kgwebhook.held.  True when it is the transaction's first.
 */
extern bool kgw_own_deliveries_note(int64 delivery_id, bool held);

/* Whether this transaction may have enqueued anything. */
extern bool kgw_own_deliveries_any(void);

/*
 * Its deliveries for the object, put there by the command "since" or later, by their
 * numbers: a list of copies in the current memory context.  Moves on to the next
 * command, or the last one's could be seen, but not changed.
 */
extern List *kgw_own_deliveries_of(Relation queue, const KgwNewDelivery *object, CommandId since);
extern bool kgw_own_deliveries_is_of(HeapTuple row, Relation queue, const KgwNewDelivery *object);

/* Replace a delivery's row where it stands, delete it (new = NULL), or insert one (old = NULL). */
extern void kgw_own_deliveries_write(HeapTuple old, HeapTuple new);

/* Columns of a delivery that are never null; the text is palloc'd. */
extern char *kgw_own_deliveries_text(HeapTuple row, Relation queue, int column);
extern int64 kgw_own_deliveries_number(HeapTuple row, Relation queue);

#endif							/* KGW_CAPTURE_OWN_DELIVERIES_H */
