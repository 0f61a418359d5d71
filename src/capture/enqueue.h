/*-------------------------------------------------------------------------
 *
 * enqueue.h
 *	  Putting a delivery into the queue, in the caller's transaction.
 *
 * src/capture/enqueue.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CAPTURE_ENQUEUE_H
#define KGW_CAPTURE_ENQUEUE_H

#include "utils/jsonb.h"

/* "msg_" and 32 hexadecimal digits */
#define KGW_WEBHOOK_ID_SIZE 37

typedef struct KgwNewDelivery
{
	const char *webhook_id;
	const char *org_id;
	const char *event;
	const char *kind;			/* what kg_watch() was given; with org_id and object_id, the object */
	const char *object_id;
	const char *url;
	Jsonb	   *payload;
	const char *problem;		/* or NULL */
	int64		delivery_id;	/* 0 = the next number */
	int64		subscription_id;	/* 0 = the object's own URL */
	const char *held_for;		/* the source whose route it waits for, or NULL */
} KgwNewDelivery;

extern void kgw_enqueue_webhook_id(char id[KGW_WEBHOOK_ID_SIZE]);
extern void kgw_enqueue_webhook_id_of(char id[KGW_WEBHOOK_ID_SIZE], const KgwNewDelivery *event,
									  const char *version);
extern int64 kgw_enqueue_next_number(void);
extern int64 kgw_enqueue(const KgwNewDelivery *delivery);

#endif							/* KGW_CAPTURE_ENQUEUE_H */
