/*-------------------------------------------------------------------------
 *
 * payload.h
 *	  The payload of an event, from a row of a watched table.
 *
 * src/capture/payload.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CAPTURE_PAYLOAD_H
#define KGW_CAPTURE_PAYLOAD_H

#include "executor/tuptable.h"
#include "utils/jsonb.h"

#include "capture/enqueue.h"
#include "capture/watch_cache.h"

/* The payloads of one event: one for each shape that a receiver gets. */
typedef struct KgwPayloads
{
	const KgwWatch *watch;
	HeapTuple	row;
	TupleDesc	desc;
	KgwEventFacts facts;
	const char *problem;		/* that every payload of the event has, or NULL */
	struct
	{
		Jsonb	   *payload;	/* NULL: nobody has asked for it yet */
		const char *problem;
	}		   *made;			/* by the number of the shape; NULL: none */
} KgwPayloads;

extern char *kgw_payload_column_text(const KgwColumn *column, HeapTuple tuple, TupleDesc desc);
extern const char *kgw_payload_own_webhook_id(const KgwWatch *watch, HeapTuple tuple, TupleDesc desc,
											char **problem);
extern bool kgw_payload_choose(KgwPayloads *payloads, const char *shape, KgwNewDelivery *delivery);

#endif							/* KGW_CAPTURE_PAYLOAD_H */
