/*-------------------------------------------------------------------------
 *
 * queue_delete.h
 *	  Taking a delivery that is done out of kgwebhook.queue.
 *
 * src/queue/queue_delete.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_QUEUE_QUEUE_DELETE_H
#define KGW_QUEUE_QUEUE_DELETE_H

#include "queue/delivery.h"

typedef struct KgwDequeuer KgwDequeuer;

extern KgwDequeuer *kgw_queue_delete_begin(void);
extern bool kgw_queue_delete(KgwDequeuer *dequeuer, const KgwDelivery *row);
extern void kgw_queue_delete_end(KgwDequeuer *dequeuer);

#endif							/* KGW_QUEUE_QUEUE_DELETE_H */
