/*-------------------------------------------------------------------------
 *
 * verdict.h
 *	  What becomes of a delivery after an attempt.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_VERDICT_H
#define KGW_VERDICT_H

#include "domain/settle.h"

extern void kgw_verdict(KgwSettlement *settlement);

#endif							/* KGW_VERDICT_H */
