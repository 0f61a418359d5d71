/*-------------------------------------------------------------------------
 *
 * queue.h
 *	  Reading kgwebhook.queue.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_QUEUE_H
#define KGW_QUEUE_H

#include "access/transam.h"
#include "datatype/timestamp.h"
#include "storage/itemptr.h"

/*
 * A delivery as read from the queue: one palloc'd piece, freed by pfree().
 * Texts are in UTF-8, as they go over the wire, and NUL-terminated.
 */
typedef struct KgwRow
{
	int64		delivery_id;
	int			attempts;
	int			attempts_before;	/* of these, before it was queued again */
	TimestampTz next_attempt_at;
	TimestampTz enqueued_at;
	FullTransactionId xid;
	ItemPointerData place;		/* in the table, when it was read */
	int64		subscription_id;	/* 0 = the object's own URL */
	const char *webhook_id;
	const char *org_id;
	const char *event;
	const char *object_id;
	const char *url;
	const char *destination;
	const char *problem;		/* or NULL */
	const char *payload;
	size_t		payload_len;
	Size		size;			/* of the whole piece, bytes */
} KgwRow;

/* Gets every row read; the row is its own from then on. */
typedef void (*KgwRowTaker) (KgwRow *row, void *arg);
typedef void (*KgwDestinationTaker) (const char *destination, void *arg);

/*
 * The snapshot up to which arrivals have been read.  What became visible since
 * is what was in progress in it and has ended, and what began after it.
 */
typedef struct KgwArrivals
{
	FullTransactionId xmax;
	FullTransactionId *xip;		/* malloc'd */
	int			xip_count;
} KgwArrivals;

extern void kgw_queue_begin(void);
extern void kgw_queue_end(void);
extern bool kgw_queue_met_foreign(void);
extern void kgw_queue_start(KgwArrivals *arrivals, KgwDestinationTaker take, void *arg);
extern void kgw_queue_read_paused(KgwDestinationTaker take, void *arg);
extern bool kgw_queue_ended_unseen(const KgwArrivals *arrivals);
extern void kgw_queue_read_arrivals(KgwArrivals *arrivals, int limit, KgwRowTaker take,
									KgwDestinationTaker overflow, void *arg);
extern int	kgw_queue_read_destination(const char *destination, int64 after, int limit,
									   KgwRowTaker take, void *arg);
extern void kgw_queue_read_ids(const int64 *ids, int count, KgwRowTaker take, void *arg);

#endif							/* KGW_QUEUE_H */
