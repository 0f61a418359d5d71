/*-------------------------------------------------------------------------
 *
 * shared_wakes.h
 *	  What a commit and the workers tell one another.
 *
 * src/services/shared_wakes.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SHARED_WAKES_H
#define KGW_SHARED_WAKES_H

/* any backend, after its commit */
extern void kgw_shared_wake(uint64 enqueued, bool reload);

/* a worker */
extern uint32 kgw_shared_wakes(void);
extern bool kgw_shared_heard_all(void);
extern uint32 kgw_shared_reloads(void);
extern void kgw_shared_worker_state(int in_flight, bool busy, bool deaf);

#endif							/* KGW_SHARED_WAKES_H */
