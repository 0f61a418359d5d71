/*-------------------------------------------------------------------------
 *
 * retry_policy.h
 *	  What becomes of a delivery after an attempt.
 *
 * src/settle/retry_policy.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SETTLE_RETRY_POLICY_H
#define KGW_SETTLE_RETRY_POLICY_H

#include "settle/settlement.h"

extern void kgw_retry_policy_decide(KgwSettlement *settlement);

#endif							/* KGW_SETTLE_RETRY_POLICY_H */
