/*-------------------------------------------------------------------------
 *
 * verified.h
 *	  That a subscription's receiver has answered its challenge.
 *
 * src/settle/verified.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SETTLE_VERIFIED_H
#define KGW_SETTLE_VERIFIED_H

#include "settle/settlement.h"

extern void kgw_verified_mark_locked(KgwSettlement *settlements, int count);
extern void kgw_verified_settle(const KgwSettlement *settlements, int count);

#endif							/* KGW_SETTLE_VERIFIED_H */
