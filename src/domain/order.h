/*-------------------------------------------------------------------------
 *
 * order.h
 *	  The order of an object's events within one transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_ORDER_H
#define KGW_ORDER_H

#include "access/htup.h"
#include "utils/rel.h"

#include "domain/enqueue.h"

extern CommandId kgw_order_version(Relation rel, HeapTuple row);
extern void kgw_order_keep(const KgwNewDelivery *event, CommandId version, int64 delivery_id);

#endif							/* KGW_ORDER_H */
