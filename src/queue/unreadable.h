/*-------------------------------------------------------------------------
 *
 * unreadable.h
 *	  Rows of the queue whose values are damaged.
 *
 * src/queue/unreadable.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_QUEUE_UNREADABLE_H
#define KGW_QUEUE_UNREADABLE_H

#include "access/tupdesc.h"

#include "queue/delivery.h"

extern KgwDelivery *kgw_unreadable_guard(const KgwRowValues *from, TupleDesc desc,
										 MemoryContext context);

#endif							/* KGW_QUEUE_UNREADABLE_H */
