/*-------------------------------------------------------------------------
 *
 * loop_settle.c
 *	  Attempts, from their beginning until they are written down.
 *
 * Outcomes gather here for a few milliseconds, so that hundreds share one
 * commit (loop_commit.c).  One that could not be written down stays, and is tried again after a
 * pause.
 *
 * Until an outcome is durable its delivery counts as in flight: the next
 * transition of the object isn't sent, because a crash would send this one after it once
 * more.  But nobody sits and waits for the disk while requests are to be sent and answers to be
 * read: a batch is committed without a flush, another process is asked for that
 * (shmem/wal_flusher.c), and the batch counts once the WAL is flushed as far.  There is one such
 * batch at a time.
 *
 * src/worker/loop_settle.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "settle/retry_policy.h"
#include "settle/settle.h"
#include "shmem/point.h"
#include "shmem/counters.h"
#include "shmem/wakeups.h"
#include "shmem/wal_flusher.h"
#include "worker/loop_commit.h"
#include "worker/loop_settle.h"

/* Outcomes that share a transaction. */
#define BATCH 512

/* How long an outcome waits for others, microseconds. */
#define PATIENCE 10000

/* How long after a failure it is tried again, microseconds. */
#define PAUSE_AFTER_ERROR 1000000

/* How long another process may take to flush a commit, microseconds. */
#define FLUSH_PATIENCE 10000

struct KgwOutcomes
{
	slist_head	concluded;		/* newest first */
	int			count;
	KgwTicks	due;			/* when they have to be written down */
	bool		failed;			/* some could not be; "due" is a pause */
	bool		locked;			/* and that was for a lock */
	slist_head	unused;
	MemoryContext scratch;

	/* a batch that is committed and that a crash could undo */
	int			unflushed;
	XLogRecPtr	commit_end;
	KgwTicks	flush_due;		/* when it is flushed here */
	KgwJob	   *jobs[BATCH];
	KgwSettlement settlements[BATCH];
};

/* No outcomes yet, in the current memory context. */
KgwOutcomes *
kgw_loop_settle_new(void)
{
	KgwOutcomes *outcomes = palloc0(sizeof(KgwOutcomes));

	slist_init(&outcomes->concluded);
	slist_init(&outcomes->unused);
	outcomes->due = KGW_NEVER;
	outcomes->flush_due = KGW_NEVER;
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

/* So has one that is not durable yet. */
static void
unflushed_keep_their_rows(const KgwOutcomes *outcomes)
{
	for (int i = 0; i < outcomes->unflushed; i++)
		Assert(outcomes->jobs[i]->row == kgw_scheduler_row(outcomes->jobs[i]->entry));
}

/* What holds of the outcomes between two turns. */
void
kgw_loop_settle_check(const KgwOutcomes *outcomes)
{
	outcomes_add_up(outcomes);
	jobs_keep_their_rows(outcomes);
	unflushed_keep_their_rows(outcomes);
}
#endif

/* How many are not settled durably. */
int
kgw_loop_settle_count(const KgwOutcomes *outcomes)
{
	return outcomes->count + outcomes->unflushed;
}

/*
 * When kgw_loop_settle_settle() or kgw_loop_settle_finish() has to be called; KGW_NEVER when there
 * is nothing.
 */
KgwTicks
kgw_loop_settle_due(const KgwOutcomes *outcomes)
{
	return Min(outcomes->count == 0 ? KGW_NEVER : outcomes->due,
			   outcomes->unflushed == 0 ? KGW_NEVER : outcomes->flush_due);
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

/* The outcome is durable: tell the scheduler and the counters. */
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
 * What was committed is durable, if it is by now or "wait" is set: tell the scheduler.
 */
void
kgw_loop_settle_finish(KgwOutcomes *outcomes, KgwScheduler *scheduler, bool wait)
{
	int			count = outcomes->unflushed;

	if (count == 0)
		return;
	if (GetFlushRecPtr(NULL) < outcomes->commit_end)
	{
		if (!wait && outcomes->flush_due > kgw_clock_ticks())
			return;
		XLogFlush(outcomes->commit_end);
	}
	KGW_POINT("durable");
	outcomes->unflushed = 0;
	for (int i = 0; i < count; i++)
		finish_job(outcomes, scheduler, outcomes->jobs[i], &outcomes->settlements[i]);
}

/* These are committed: have that flushed. */
static void
await_flush(KgwOutcomes *outcomes, int count)
{
	int			kept = 0;

	for (int i = 0; i < count; i++)
	{
		if (outcomes->settlements[i].locked)
			put_back(outcomes, outcomes->jobs[i], true);
		else
		{
			outcomes->jobs[kept] = outcomes->jobs[i];
			outcomes->settlements[kept++] = outcomes->settlements[i];
		}
	}
	outcomes->unflushed = kept;
	outcomes->commit_end = XactLastCommitEnd;
	outcomes->flush_due = kgw_clock_ticks() + FLUSH_PATIENCE;
	kgw_wal_flusher_ask(outcomes->commit_end);
}

/* Settle these one by one, or, after "together", not now. */
static void
settle_each(KgwOutcomes *outcomes, KgwScheduler *scheduler, int count, KgwTrapResult together)
{
	for (int i = 0; i < count; i++)
	{
		KgwSettlement *settlement = &outcomes->settlements[i];
		KgwTrapResult	result = together;

		/* one of them can't be written: find out which */
		if (together == KGW_TRAP_FAILED)
			result = kgw_loop_commit_alone(settlement, &outcomes->locked);

		/* something is wrong that none of them can help */
		if (result == KGW_TRAP_LOCKED || result == KGW_TRAP_PASSING)
			together = result;
		if (result == KGW_TRAP_DONE && !settlement->locked)
			finish_job(outcomes, scheduler, outcomes->jobs[i], settlement);
		else
			put_back(outcomes, outcomes->jobs[i], settlement->locked);
	}
}

/*
 * Write down what has been concluded, in one commit if it can be.  The scheduler is told when that
 * is durable: now or, if "later" will do, by kgw_loop_settle_finish().
 */
void
kgw_loop_settle_settle(KgwOutcomes *outcomes, KgwScheduler *scheduler, bool later)
{
	MemoryContext caller;
	KgwTrapResult	together;
	int			count;

	kgw_loop_settle_finish(outcomes, scheduler, true);
	if (outcomes->count == 0)
		return;
	caller = MemoryContextSwitchTo(outcomes->scratch);
	count = take_batch(outcomes, outcomes->jobs, outcomes->settlements);
	together = kgw_loop_commit(outcomes->settlements, count, &outcomes->locked, later);
	outcomes->failed = false;
	if (together == KGW_TRAP_DONE)
		KGW_POINT("committed");
	if (together == KGW_TRAP_DONE && later)
		await_flush(outcomes, count);
	else
	{
		if (together == KGW_TRAP_DONE)
			KGW_POINT("durable");
		settle_each(outcomes, scheduler, count, together);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextReset(outcomes->scratch);
}
