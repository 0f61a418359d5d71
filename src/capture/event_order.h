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
#include "utils/rel.h"

#include "capture/enqueue.h"
#include "capture/watch_cache.h"

extern CommandId kgw_event_order_version(Relation rel, HeapTuple row);
extern void kgw_event_order_keep(const KgwWatch *watch, const KgwNewDelivery *event,
								 CommandId version, int64 delivery_id);

#endif							/* KGW_CAPTURE_EVENT_ORDER_H */
