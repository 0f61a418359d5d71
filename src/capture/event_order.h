/*-------------------------------------------------------------------------
 *
 * event_order.h
 *	  The order of an object's events within one transaction.
 *
 * src/capture/event_order.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CAPTURE_EVENT_ORDER_H
#define KGW_CAPTURE_EVENT_ORDER_H

#include "access/htup.h"
#include "nodes/pg_list.h"
#include "utils/rel.h"

#include "capture/enqueue.h"
#include "capture/watch_cache.h"

/* Columns of kgwebhook.queue, from 1. */
enum
{
	KGW_QUEUE_DELIVERY_ID = 1, KGW_QUEUE_WEBHOOK_ID, KGW_QUEUE_ORG_ID, KGW_QUEUE_EVENT,
	KGW_QUEUE_KIND, KGW_QUEUE_OBJECT_ID, KGW_QUEUE_PAYLOAD = 9, KGW_QUEUE_XID = 13,
	KGW_QUEUE_SUBSCRIPTION_ID = 17
};

extern CommandId kgw_event_order_version(Relation rel, HeapTuple row);
extern void kgw_event_order_keep(const KgwWatch *watch, const KgwNewDelivery *event,
								 CommandId version, int64 delivery_id);
extern bool kgw_event_order_any(void);
extern List *kgw_event_order_deliveries(Relation queue, const KgwNewDelivery *object,
										CommandId since);
extern void kgw_event_order_write(HeapTuple old, HeapTuple new);
extern char *kgw_event_order_text(HeapTuple row, Relation queue, int column);
extern int64 kgw_event_order_number(HeapTuple row, Relation queue);

#endif							/* KGW_CAPTURE_EVENT_ORDER_H */
