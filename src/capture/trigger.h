/*-------------------------------------------------------------------------
 *
 * trigger.h
 *	  Where a delivery begins.
 *
 * src/capture/trigger.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CAPTURE_TRIGGER_H
#define KGW_CAPTURE_TRIGGER_H

#include "access/htup.h"
#include "utils/rel.h"

#include "capture/enqueue.h"

extern void kgw_trigger_announce(Relation rel, HeapTuple row);
extern void kgw_trigger_preview(Relation rel, HeapTuple row, const char *shape,
									KgwNewDelivery *event);

#endif							/* KGW_CAPTURE_TRIGGER_H */
