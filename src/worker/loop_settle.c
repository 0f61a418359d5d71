/*-------------------------------------------------------------------------
 *
 * loop_settle.c
 *	  Attempts, from their beginning until they are written down.
 *
 * Outcomes gather here for a few milliseconds, so that hundreds share one
 * durable commit.  A commit that fails must not lose any, and none must hold up
 * the others:
 *
 *	trouble that would strike	 all of them stay here and are tried again after
 *	any row (a full disk, a		 a pause
 *	lock of a table)
 *	a lock of some rows			 the others are settled, these stay
 *	a row that can't be written	 the batch is settled one by one, each in a
 *								 transaction of its own, and what still fails
 *								 once more without the bodies, in which a
 *								 receiver had a hand
 *
 * Until an outcome is committed its delivery counts as in flight: the next
 * transition of the object isn't sent.
 *
 * src/worker/loop_settle.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "pg/extension.h"
#include "pg/transaction.h"
#include "settle/retry_policy.h"
#include "settle/settle.h"
#include "shmem/point.h"
#include "shmem/counters.h"
#include "shmem/wakeups.h"
#include "worker/error_trap.h"
#include "worker/loop_settle.h"

/* Outcomes that share a transaction. */
#define BATCH 512

/* How long an outcome waits for others, microseconds. */
#define PATIENCE 10000

/* How long after a failure it is tried again, microseconds. */
#define PAUSE_AFTER_ERROR 1000000

/* Settlements for one transaction. */
typedef struct KgwBatch
{
	KgwSettlement *settlements;
	int			count;
	bool		around_locks;	/* leave out those whose rows are locked */
	bool		held;			/* the extension was there, and they are settled */
} KgwBatch;

struct KgwOutcomes
{
	slist_head	concluded;		/* newest first */
	int			count;
	KgwTicks	due;			/* when they have to be written down */
	bool		failed;			/* some could not be; "due" is a pause */
	bool		locked;			/* and that was for a lock */
	slist_head	unused;
	MemoryContext scratch;
};

/* No outcomes yet, in the current memory context. */
KgwOutcomes *
kgw_loop_settle_new(void)
{
	KgwOutcomes *outcomes = palloc0(sizeof(KgwOutcomes));

	slist_init(&outcomes->concluded);
	slist_init(&outcomes->unused);
	outcomes->due = KGW_NEVER;
	outcomes->scratch = AllocSetContextCreate(CurrentMemoryContext, "kgwebhook settling",
											ALLOCSET_DEFAULT_SIZES);
	return outcomes;
}

/* Open a job for an attempt of this entry. */
KgwJob *
kgw_loop_settle_begin(KgwOutcomes *outcomes, KgwEntry *entry, const KgwDelivery *row)
{
	KgwJob	   *job;

	if (slist_is_empty(&outcomes->unused))
		job = MemoryContextAllocZero(GetMemoryChunkContext(outcomes), sizeof(KgwJob));
	else
		job = slist_container(KgwJob, node, slist_pop_head_node(&outcomes->unused));
	job->entry = entry;
	job->row = row;
	job->secrets = kgw_wakeups_changes(KGW_CHANGED_SECRETS);
	return job;
}

/* The attempt is over; it waits here to be written down. */
void
kgw_loop_settle_conclude(KgwOutcomes *outcomes, KgwJob *job, KgwTicks now)
{
	if (outcomes->count == 0 && !outcomes->failed)
		outcomes->due = now + PATIENCE;
	slist_push_head(&outcomes->concluded, &job->node);
	outcomes->count++;
}

#ifdef USE_ASSERT_CHECKING
/* The list of outcomes is as long as is said, and has a time. */
static void
outcomes_add_up(const KgwOutcomes *outcomes)
{
	slist_iter	iter;
	int			count = 0;

	slist_foreach(iter, unconstify(slist_head *, &outcomes->concluded))
		count++;
	Assert(outcomes->count == count);
	Assert(count == 0 || outcomes->due != KGW_NEVER);
	Assert(!outcomes->failed || count > 0);
}

/* An outcome that waits has its entry, and the entry still has the row that was sent. */
static void
jobs_keep_their_rows(const KgwOutcomes *outcomes)
{
	slist_iter	iter;

	slist_foreach(iter, unconstify(slist_head *, &outcomes->concluded))
	{
		const KgwJob *job = slist_container(KgwJob, node, iter.cur);

		Assert(job->entry != NULL);
		Assert(job->row == kgw_scheduler_row(job->entry));
		Assert(job->attempt.number == job->row->attempts + 1);
	}
}

/* What holds of the outcomes between two turns. */
void
kgw_loop_settle_check(const KgwOutcomes *outcomes)
{
	outcomes_add_up(outcomes);
	jobs_keep_their_rows(outcomes);
}
#endif

int
kgw_loop_settle_count(const KgwOutcomes *outcomes)
{
	return outcomes->count;
}

/* When kgw_loop_settle_settle() has to be called; KGW_NEVER when there is nothing. */
KgwTicks
kgw_loop_settle_due(const KgwOutcomes *outcomes)
{
	return outcomes->count == 0 ? KGW_NEVER : outcomes->due;
}

/*
 * Whether it is time to settle; "idle" when nobody is coming whom it would pay
 * to wait for.
 */
bool
kgw_loop_settle_ready(const KgwOutcomes *outcomes, KgwTicks now, bool idle)
{
	if (outcomes->count == 0)
		return false;
	return outcomes->due <= now || (!outcomes->failed && (idle || kgw_loop_settle_full(outcomes)));
}

/*
 * Whether there are enough to be worth a commit before they are due, or, after
 * errors, too many to go on sending.
 */
bool
kgw_loop_settle_full(const KgwOutcomes *outcomes)
{
	return outcomes->count >= BATCH;
}

static void
close_job(KgwOutcomes *outcomes, KgwJob *job)
{
	kgw_attempt_clear(&job->attempt);
	slist_push_head(&outcomes->unused, &job->node);
}

/* Nothing is done when their extension isn't there. */
static void
settle_batch(void *arg)
{
	KgwBatch   *batch = arg;

	batch->held = kgw_extension_hold();
	for (int i = 0; i < batch->count; i++)
		batch->settlements[i].locked = false;
	if (batch->held && batch->around_locks)
		kgw_settle_mark_locked(batch->settlements, batch->count);
	if (batch->held)
		kgw_settle(batch->settlements, batch->count);
}

static void
settle_in_transaction(void *arg)
{
	kgw_transaction_run("settling deliveries", settle_batch, arg);
}

/*
 * Settle these.  After a lock it is tried once more, and from then on from the
 * outset, around the rows that someone holds.
 */
static KgwTrapResult
try_to_settle(KgwOutcomes *outcomes, KgwSettlement *settlements, int count)
{
	KgwBatch	batch = {settlements, count, outcomes->locked, false};
	KgwTrapResult	result = kgw_error_trap_run(settle_in_transaction, &batch);

	if (result == KGW_TRAP_LOCKED && !batch.around_locks)
	{
		batch.around_locks = true;
		result = kgw_error_trap_run(settle_in_transaction, &batch);
	}
	outcomes->locked = result == KGW_TRAP_LOCKED;
	if (result == KGW_TRAP_DONE && !batch.held)
		result = KGW_TRAP_PASSING;
	return result;
}

/* Settle one without what a receiver had a hand in. */
static KgwTrapResult
settle_reduced(KgwOutcomes *outcomes, KgwSettlement *settlement)
{
	KgwSettlement reduced = *settlement;
	KgwAttempt	attempt = *settlement->attempt;
	KgwTrapResult	result;
	char		note[] = "the bodies of this attempt could not be logged";

	attempt.body = NULL;
	attempt.response_body = NULL;
	if (attempt.outcome != KGW_ACKNOWLEDGED)
		attempt.error = note;
	reduced.attempt = &attempt;
	result = try_to_settle(outcomes, &reduced, 1);
	settlement->locked = reduced.locked;
	return result;
}

/* The outcome is committed: tell the scheduler and the counters. */
static void
finish_job(KgwOutcomes *outcomes, KgwScheduler *scheduler, KgwJob *job,
		   const KgwSettlement *settlement)
{
	kgw_counters_add(job->attempt.outcome);
	if (settlement->fate == KGW_FATE_RETRY)
	{
		TimestampTz wall = GetCurrentTimestamp();
		KgwTicks	now = kgw_clock_ticks();

		kgw_scheduler_retry(scheduler, job->entry,
							kgw_clock_due(settlement->next_attempt_at, wall, now),
							kgw_clock_due(settlement->not_before, wall, now));
	}
	else
		kgw_scheduler_settled(scheduler, job->entry);
	close_job(outcomes, job);
}

/* Take up to a batch of the oldest outcomes, in the order of their conclusion. */
static int
take_batch(KgwOutcomes *outcomes, KgwJob **jobs, KgwSettlement *settlements)
{
	slist_mutable_iter iter;
	int			skip = Max(outcomes->count - BATCH, 0);
	int			count = outcomes->count - skip;
	int			at = count;

	slist_foreach_modify(iter, &outcomes->concluded)
	{
		KgwJob	   *job = slist_container(KgwJob, node, iter.cur);
		KgwSettlement *settlement;

		if (skip-- > 0)
			continue;
		slist_delete_current(&iter);
		jobs[--at] = job;
		settlement = &settlements[at];
		memset(settlement, 0, sizeof(*settlement));
		settlement->row = job->row;
		settlement->attempt = &job->attempt;
		settlement->held = job->attempt.dropped ? job->row->held : kgw_hold_so_far(job->entry);
		kgw_retry_policy_decide(settlement);

		/* the secret that it lacked may have come while it waited here */
		if (job->attempt.no_secret && job->secrets != kgw_wakeups_changes(KGW_CHANGED_SECRETS))
			settlement->next_attempt_at = GetCurrentTimestamp();
	}
	outcomes->count -= count;
	return count;
}

/* Settle one alone, whole or, if that can't be, without its bodies. */
static KgwTrapResult
settle_alone(KgwOutcomes *outcomes, KgwSettlement *settlement)
{
	KgwTrapResult	result = try_to_settle(outcomes, settlement, 1);

	return result == KGW_TRAP_FAILED ? settle_reduced(outcomes, settlement) : result;
}

/* It could not be settled: it stays here for a while. */
static void
put_back(KgwOutcomes *outcomes, KgwJob *job, bool locked)
{
	outcomes->locked |= locked;
	slist_push_head(&outcomes->concluded, &job->node);
	outcomes->count++;
	outcomes->failed = true;
	outcomes->due = kgw_clock_ticks() + PAUSE_AFTER_ERROR;
}

/*
 * Write down what has been concluded, in one durable commit if it can be, and
 * tell the scheduler.
 */
void
kgw_loop_settle_settle(KgwOutcomes *outcomes, KgwScheduler *scheduler)
{
	KgwJob	   *jobs[BATCH];
	KgwSettlement settlements[BATCH];
	MemoryContext caller = MemoryContextSwitchTo(outcomes->scratch);
	int			count = take_batch(outcomes, jobs, settlements);
	KgwTrapResult	together = try_to_settle(outcomes, settlements, count);

	outcomes->failed = false;
	if (together == KGW_TRAP_DONE)
		KGW_POINT("committed");
	for (int i = 0; i < count; i++)
	{
		KgwTrapResult	result = together;

		/* one of them can't be written: find out which */
		if (together == KGW_TRAP_FAILED)
			result = settle_alone(outcomes, &settlements[i]);

		/* something is wrong that none of them can help */
		if (result == KGW_TRAP_LOCKED || result == KGW_TRAP_PASSING)
			together = result;
		if (result == KGW_TRAP_DONE && !settlements[i].locked)
			finish_job(outcomes, scheduler, jobs[i], &settlements[i]);
		else
			put_back(outcomes, jobs[i], settlements[i].locked);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextReset(outcomes->scratch);
}
