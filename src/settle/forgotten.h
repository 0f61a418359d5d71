/*-------------------------------------------------------------------------
 *
 * forgotten.h
 *	  Attempts of deliveries whose payload was removed while they were on their way.
 *
 * src/settle/forgotten.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SETTLE_FORGOTTEN_H
#define KGW_SETTLE_FORGOTTEN_H

#include "settle/settlement.h"

extern void kgw_forgotten_blank(const KgwSettlement *settlements, int count);

#endif							/* KGW_SETTLE_FORGOTTEN_H */
