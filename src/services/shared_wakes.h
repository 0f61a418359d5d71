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

/* What somebody has changed of what workers remember. */
typedef enum KgwChanged
{
	KGW_CHANGED_ALL,			/* start over */
	KGW_CHANGED_SECRETS,
	KGW_CHANGED_SUBSCRIPTIONS,
	KGW_CHANGED_PAUSES
} KgwChanged;

#define KGW_CHANGES 4

/* any backend, after its commit; "changes" has a bit (1 << KgwChanged) for each */
extern void kgw_shared_wake(uint64 enqueued, int changes);

/* a worker */
extern uint32 kgw_shared_wakes(void);
extern bool kgw_shared_heard_all(void);
extern uint32 kgw_shared_changes(KgwChanged what);
extern void kgw_shared_worker_state(int in_flight, bool busy, bool deaf);

#endif							/* KGW_SHARED_WAKES_H */
