/*-------------------------------------------------------------------------
 *
 * dequeue.h
 *	  Taking a delivery that is done out of kgwebhook.queue.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_DEQUEUE_H
#define KGW_DEQUEUE_H

#include "domain/row.h"

typedef struct KgwDequeuer KgwDequeuer;

extern KgwDequeuer *kgw_dequeue_begin(void);
extern bool kgw_dequeue(KgwDequeuer *dequeuer, const KgwRow *row);
extern void kgw_dequeue_end(KgwDequeuer *dequeuer);

#endif							/* KGW_DEQUEUE_H */
