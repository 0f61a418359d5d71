/*-------------------------------------------------------------------------
 *
 * wakeups.h
 *	  What a commit and the workers tell one another.
 *
 * src/shmem/wakeups.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SHMEM_WAKEUPS_H
#define KGW_SHMEM_WAKEUPS_H

#include "shmem/changes.h"

/* any backend, after its commit; "changes" has a bit (1 << KgwChanged) for each */
extern void kgw_wakeups_wake(uint64 enqueued, int changes);

/* a worker */
extern uint32 kgw_wakeups_count(void);
extern bool kgw_wakeups_heard_all(void);
extern uint32 kgw_wakeups_changes(KgwChanged what);
extern void kgw_wakeups_worker_state(int in_flight, bool busy, bool deaf);

#endif							/* KGW_SHMEM_WAKEUPS_H */
