/*-------------------------------------------------------------------------
 *
 * subscription_health.h
 *	  What outcomes make of a subscription.
 *
 * src/settle/subscription_health.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SETTLE_SUBSCRIPTION_HEALTH_H
#define KGW_SETTLE_SUBSCRIPTION_HEALTH_H

#include "settle/settlement.h"

/*
 * Write down what these outcomes, in the order of their conclusion, say of their
 * subscriptions.  Within the settling transaction, with SPI connected; raises what
 * writing kgwebhook.subscription raises.  A row that another session has locked is
 * left out.
 */
extern void kgw_subscription_health_settle(const KgwSettlement *settlements, int count);

#endif							/* KGW_SETTLE_SUBSCRIPTION_HEALTH_H */
