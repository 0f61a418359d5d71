/*-------------------------------------------------------------------------
 *
 * subscription_state.h
 *	  How a subscription stands, as a worker knows it.
 *
 * src/settle/subscription_state.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SETTLE_SUBSCRIPTION_STATE_H
#define KGW_SETTLE_SUBSCRIPTION_STATE_H

#include "capture/enqueue.h"
#include "datatype/timestamp.h"
#include "queue/delivery.h"

typedef struct KgwSubscriptionState
{
	int64		subscription_id;	/* hash key */
	bool		paused;
	char	   *refusal;		/* why it takes no deliveries, or NULL */
	TimestampTz failing_since;	/* 0 = it isn't failing */
	bool		told;			/* that it is failing */
	TimestampTz resumed_at;		/* 0 = it was never resumed */
	bool		own_secret;		/* signs instead of the organization's */
	char		challenge[KGW_WEBHOOK_ID_SIZE];	/* the one that it has to answer before it gets anything, or "" */
	uint64		url;			/* hash of the only one that may get its events, or 0: any that they were queued for */
	int64		gap;			/* microseconds between two of its requests; 0: no limit */
} KgwSubscriptionState;

extern const KgwSubscriptionState *kgw_subscription_state_known(int64 subscription_id);
extern const KgwSubscriptionState *kgw_subscription_state_load(int64 subscription_id);
extern bool kgw_subscription_state_withholds(const KgwSubscriptionState *state, const KgwDelivery *row);
extern bool kgw_subscription_state_misses(const KgwSubscriptionState *state, const KgwDelivery *row);
extern bool kgw_subscription_state_outdates(const KgwSubscriptionState *state, const KgwDelivery *row);
extern void kgw_subscription_state_forget(void);
extern bool kgw_subscription_state_reread(void);
extern void kgw_subscription_state_written(int64 subscription_id);

#endif							/* KGW_SETTLE_SUBSCRIPTION_STATE_H */
