/*-------------------------------------------------------------------------
 *
 * arrivals.h
 *	  What has become visible in kgwebhook.queue since the last look.
 *
 * src/domain/arrivals.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_ARRIVALS_H
#define KGW_ARRIVALS_H

#include "access/transam.h"

#include "domain/queue.h"

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

extern void kgw_arrivals_start(KgwArrivals *arrivals, KgwDestinationTaker take, void *arg);
extern void kgw_arrivals_read(KgwArrivals *arrivals, KgwRowTaker take,
							  KgwOverflowTaker overflow, void *arg);
extern bool kgw_arrivals_unended(const KgwArrivals *arrivals);
extern bool kgw_arrivals_ended_unseen(const KgwArrivals *arrivals);

#endif							/* KGW_ARRIVALS_H */
