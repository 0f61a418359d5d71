/*-------------------------------------------------------------------------
 *
 * invariants.h
 *	  What holds of a worker's memory between two turns.
 *
 * src/schedule/invariants.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SCHEDULE_INVARIANTS_H
#define KGW_SCHEDULE_INVARIANTS_H

#include "schedule/scheduler.h"

#ifdef USE_ASSERT_CHECKING
extern void kgw_invariants_check(KgwScheduler *s);
#else
#define kgw_invariants_check(s) ((void) 0)
#endif

#endif							/* KGW_SCHEDULE_INVARIANTS_H */
