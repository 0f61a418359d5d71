/*-------------------------------------------------------------------------
 *
 * upkeep.h
 *	  The days of the log: made in time, dropped when they have had theirs; and
 *	  the room that the queue has taken, given back.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_UPKEEP_H
#define KGW_UPKEEP_H

#include "services/clock.h"

typedef struct KgwUpkeep KgwUpkeep;

extern KgwUpkeep *kgw_upkeep_new(bool drops);
extern void kgw_upkeep_before_log(KgwUpkeep *upkeep);
extern KgwTicks kgw_upkeep_due(const KgwUpkeep *upkeep);
extern void kgw_upkeep_run(KgwUpkeep *upkeep);

#endif							/* KGW_UPKEEP_H */
