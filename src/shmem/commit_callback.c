/*-------------------------------------------------------------------------
 *
 * commit_callback.c
 *	  Waking the workers when this transaction commits.
 *
 * A worker must look at the queue the moment an event is visible and not
 * before: so the wake-up hangs on the transaction's own commit, not on the
 * trigger, and a rollback wakes nobody.  It is a latch and not NOTIFY, because
 * NOTIFY takes a lock that serializes every commit of the server.
 *
 * The number of events is carried along for the counters.  It is kept by
 * subtransaction, so that what a savepoint took back isn't counted.
 *
 * PREPARE TRANSACTION wakes them too, so that they see a prepared transaction
 * that they have to watch for: its commit, perhaps by another session, tells
 * nobody.
 *
 * src/shmem/commit_callback.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "shmem/commit_callback.h"
#include "shmem/wakeups.h"

/* What one level of subtransaction has enqueued; in TopTransactionContext. */
typedef struct KgwLevel
{
	int			nest_level;
	uint64		enqueued;
	int			changes;		/* a bit for each KgwChanged */
	struct KgwLevel *parent;
} KgwLevel;

/* Deepest level that has anything to say; NULL = nothing to wake for. */
static KgwLevel *innermost;
static bool callback_registered;

static void
run_at_transaction_end(XactEvent event, void *arg)
{
	uint64		enqueued = 0;
	int			changes = 0;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PREPARE)
		return;
	if (innermost == NULL)
		return;
	for (KgwLevel *level = innermost; level != NULL; level = level->parent)
	{
		enqueued += level->enqueued;
		changes |= level->changes;
	}
	innermost = NULL;
	if (event == XACT_EVENT_COMMIT)
		kgw_wakeups_wake(enqueued, changes);
	else if (event == XACT_EVENT_PREPARE)
		kgw_wakeups_wake(0, changes);
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId my_id,
					  SubTransactionId parent_id, void *arg)
{
	int			nest_level = GetCurrentTransactionNestLevel();

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	if (innermost == NULL || innermost->nest_level < nest_level)
		return;

	if (event == SUBXACT_EVENT_ABORT_SUB)
		innermost = innermost->parent;
	else if (innermost->parent != NULL &&
			 innermost->parent->nest_level == nest_level - 1)
	{
		innermost->parent->enqueued += innermost->enqueued;
		innermost->parent->changes |= innermost->changes;
		innermost = innermost->parent;
	}
	else
		innermost->nest_level = nest_level - 1;
}

/* What the current (sub)transaction has to say at commit. */
static KgwLevel *
current_level(void)
{
	int			nest_level = GetCurrentTransactionNestLevel();

	if (!callback_registered)
	{
		RegisterXactCallback(run_at_transaction_end, NULL);
		RegisterSubXactCallback(at_subtransaction_end, NULL);
		callback_registered = true;
	}
	if (innermost == NULL || innermost->nest_level < nest_level)
	{
		KgwLevel   *level = MemoryContextAllocZero(TopTransactionContext, sizeof(KgwLevel));

		level->nest_level = nest_level;
		level->parent = innermost;
		innermost = level;
	}
	return innermost;
}

/*
 * Wake this database's workers if and when the current transaction commits,
 * which has just put "enqueued" deliveries into the queue.
 */
void
kgw_commit_callback_wake(int enqueued)
{
	current_level()->enqueued += enqueued;
}

/*
 * As above, and tell the workers that the current transaction changes what they
 * hold in memory.
 */
void
kgw_commit_callback_changed(KgwChanged what)
{
	current_level()->changes |= 1 << what;
}
