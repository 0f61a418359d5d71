/*-------------------------------------------------------------------------
 *
 * delivery.h
 *	  A delivery in memory.
 *
 * src/queue/delivery.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_QUEUE_DELIVERY_H
#define KGW_QUEUE_DELIVERY_H

#include "access/transam.h"
#include "datatype/timestamp.h"
#include "storage/itemptr.h"

/*
 * A delivery as read from the queue: one palloc'd piece, freed by pfree().
 * Texts are in UTF-8, as they go over the wire, and NUL-terminated.
 */
typedef struct KgwDelivery
{
	int64		delivery_id;
	int			attempts;
	int			attempts_before;	/* of these, before it was queued again */
	TimestampTz next_attempt_at;
	TimestampTz enqueued_at;
	TimestampTz refused_at;		/* when the last attempt was refused; 0: it wasn't */
	TimestampTz not_before;		/* what the receiver asked for by Retry-After, or 0 */
	TimestampTz recovered;		/* when kg_recover() queued it again; 0: it didn't */
	int64		held;			/* how long it had been refused then, microseconds */
	FullTransactionId xid;
	ItemPointerData place;		/* in the table, when it was read */
	int64		subscription_id;	/* 0 = the object's own URL */
	const char *webhook_id;
	const char *org_id;
	const char *event;
	const char *kind;
	const char *object_id;		/* with org_id and kind: one object */
	const char *url;
	const char *destination;
	const char *problem;		/* or NULL */
	const char *payload;
	size_t		payload_len;
	size_t		stamp_at;		/* where its "timestamp" belongs, if it is canonical; else 0 */
	Size		size;			/* bytes of memory that the whole piece takes */
	bool		damaged;		/* some of it can't be read, and is empty here */
	bool		ahead;			/* set by its worker: its turn has come before its time */
	int64		wish;			/* the same: not_before by the monotonic clock */
	int64		gap;			/* the same: microseconds between requests of its subscription, or 0 */
} KgwDelivery;

/* What a query has to return for kgw_delivery_make(), and how many columns that is. */
#define KGW_ROW_COLUMN_COUNT 22
#define KGW_ROW_COLUMNS \
	"ctid, delivery_id, attempts, attempts_before, next_attempt_at, enqueued_at, xid, origin, subscription_id, " \
	"refused_at, held, not_before, recovered, " \
	"webhook_id, org_id, event, kind, object_id, url, destination, problem, payload"

/* A row that such a query returned, taken apart. */
typedef struct KgwRowValues
{
	const Datum *values;
	const bool *nulls;
} KgwRowValues;

extern KgwDelivery *kgw_delivery_make(const KgwRowValues *from, MemoryContext context);
extern bool kgw_delivery_is_challenge(const KgwDelivery *row);
extern bool kgw_delivery_is_foreign(const KgwRowValues *from);

#endif							/* KGW_QUEUE_DELIVERY_H */
