/*-------------------------------------------------------------------------
 *
 * settle.h
 *	  Writing down how attempts ended.
 *
 * src/settle/settle.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SETTLE_SETTLE_H
#define KGW_SETTLE_SETTLE_H

#include "settle/settlement.h"

extern void kgw_settle_log(KgwSettlement *settlements, int count);
extern void kgw_settle_mark_locked(KgwSettlement *settlements, int count);
extern void kgw_settle(KgwSettlement *settlements, int count);

#endif							/* KGW_SETTLE_SETTLE_H */
