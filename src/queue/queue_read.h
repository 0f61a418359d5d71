/*-------------------------------------------------------------------------
 *
 * queue_read.h
 *	  Reading kgwebhook.queue.
 *
 * src/queue/queue_read.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_QUEUE_QUEUE_READ_H
#define KGW_QUEUE_QUEUE_READ_H

#include "executor/spi.h"

#include "queue/delivery.h"

/*
 * Gets every row read; the row is its own from then on.  False to have no more
 * of this read.
 */
typedef bool (*KgwRowTaker) (KgwDelivery *row, void *arg);
typedef void (*KgwDestinationTaker) (const char *destination, void *arg);

/* Gets a destination and the lowest number of its deliveries that were left unread. */
typedef void (*KgwOverflowTaker) (const char *destination, int64 first, void *arg);

extern void kgw_queue_read_begin(void);
extern void kgw_queue_read_end(void);
extern bool kgw_queue_read_met_foreign(void);
extern int	kgw_queue_read_rows(SPIPlanPtr which, Datum *args, int nargs, KgwRowTaker take,
								void *arg, bool *stopped);
extern void kgw_queue_read_name_destinations(KgwDestinationTaker take, void *arg);
extern void kgw_queue_read_paused(KgwDestinationTaker take, void *arg);
extern int64 kgw_queue_read_firsts(SPIPlanPtr which, Datum *args, KgwOverflowTaker take, void *arg);
extern bool kgw_queue_read_destination(const char *destination, int64 after, int limit,
									   KgwRowTaker take, void *arg);
extern bool kgw_queue_read_ids(const int64 *ids, int count, KgwRowTaker take, void *arg);

#endif							/* KGW_QUEUE_QUEUE_READ_H */
