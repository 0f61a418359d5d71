/*-------------------------------------------------------------------------
 *
 * loop_settle.h
 *	  Attempts, from their beginning until they are written down.
 *
 * src/worker/loop_settle.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_WORKER_LOOP_SETTLE_H
#define KGW_WORKER_LOOP_SETTLE_H

#include "lib/ilist.h"

#include "schedule/scheduler.h"
#include "send/attempt.h"

typedef struct KgwOutcomes KgwOutcomes;

/* One attempt of a worker. */
typedef struct KgwJob
{
	slist_node	node;
	KgwEntry   *entry;
	const KgwDelivery *row;			/* the entry's */
	uint32		secrets;		/* changes of them when it began */
	KgwAttempt	attempt;
} KgwJob;

extern KgwOutcomes *kgw_loop_settle_new(void);
extern KgwJob *kgw_loop_settle_begin(KgwOutcomes *outcomes, KgwEntry *entry, const KgwDelivery *row);
extern void kgw_loop_settle_conclude(KgwOutcomes *outcomes, KgwJob *job, KgwTicks now);
extern int	kgw_loop_settle_count(const KgwOutcomes *outcomes);
extern KgwTicks kgw_loop_settle_due(const KgwOutcomes *outcomes);
extern bool kgw_loop_settle_ready(const KgwOutcomes *outcomes, KgwTicks now, bool idle);
extern bool kgw_loop_settle_full(const KgwOutcomes *outcomes);
#ifdef USE_ASSERT_CHECKING
extern void kgw_loop_settle_check(const KgwOutcomes *outcomes);
#else
#define kgw_loop_settle_check(outcomes) ((void) 0)
#endif
extern void kgw_loop_settle_settle(KgwOutcomes *outcomes, KgwScheduler *scheduler, bool later);
extern void kgw_loop_settle_finish(KgwOutcomes *outcomes, KgwScheduler *scheduler, bool wait);

#endif							/* KGW_WORKER_LOOP_SETTLE_H */
