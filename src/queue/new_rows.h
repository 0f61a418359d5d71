/*-------------------------------------------------------------------------
 *
 * new_rows.h
 *	  What has become visible in kgwebhook.queue since the last look.
 *
 * src/queue/new_rows.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_QUEUE_NEW_ROWS_H
#define KGW_QUEUE_NEW_ROWS_H

#include "access/transam.h"

#include "queue/queue_read.h"

/*
 * The snapshot up to which arrivals have been read.  What became visible since
 * is what was in progress in it and has ended, and what began after it.
 */
typedef struct KgwArrivals
{
	FullTransactionId xmax;
	FullTransactionId next;		/* the first that had not begun */
	FullTransactionId *xip;		/* malloc'd */
	int			xip_count;
} KgwArrivals;

extern void kgw_new_rows_start(KgwArrivals *arrivals, KgwDestinationTaker take, void *arg);
extern void kgw_new_rows_read(KgwArrivals *arrivals, KgwRowTaker take,
							  KgwOverflowTaker overflow, void *arg);
extern bool kgw_new_rows_unended(const KgwArrivals *arrivals);
extern bool kgw_new_rows_ended_unseen(const KgwArrivals *arrivals);

#endif							/* KGW_QUEUE_NEW_ROWS_H */
