/*-------------------------------------------------------------------------
 *
 * loop_commit.c
 *	  Outcomes are written down: one transaction for many, or one for each.
 *
 * A commit that fails must not lose any, and none must hold up the others:
 *
 *	trouble that would strike	 all of them are tried again after a pause
 *	any row (a full disk, a
 *	lock of a table)
 *	a lock of some rows			 the others are settled, these later
 *	a row that can't be written	 the batch is settled one by one, each in a
 *								 transaction of its own, and what still fails
 *								 once more without the bodies, in which a
 *								 receiver had a hand
 *
 * Who keeps them, and tries again, is loop_settle.c.
 *
 * src/worker/loop_commit.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/guc.h"

#include "pg/extension.h"
#include "pg/transaction.h"
#include "worker/loop_commit.h"

/* Settlements for one transaction. */
typedef struct KgwBatch
{
	KgwSettlement *settlements;
	int			count;
	bool		around_locks;	/* leave out those whose rows are locked */
	bool		unflushed;		/* the commit needn't be durable when it returns */
	bool		held;			/* the extension was there, and they are settled */
} KgwBatch;

/* Nothing is done when their extension isn't there. */
static void
settle_batch(void *arg)
{
	KgwBatch   *batch = arg;

	batch->held = kgw_extension_hold();
	for (int i = 0; i < batch->count; i++)
		batch->settlements[i].locked = false;
	if (batch->unflushed)
		(void) set_config_option("synchronous_commit", "off", PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
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
KgwTrapResult
kgw_loop_commit(KgwSettlement *settlements, int count, bool *locked, bool unflushed)
{
	KgwBatch	batch = {settlements, count, *locked, unflushed, false};
	KgwTrapResult	result = kgw_error_trap_run(settle_in_transaction, &batch);

	if (result == KGW_TRAP_LOCKED && !batch.around_locks)
	{
		batch.around_locks = true;
		result = kgw_error_trap_run(settle_in_transaction, &batch);
	}
	*locked = result == KGW_TRAP_LOCKED;
	if (result == KGW_TRAP_DONE && !batch.held)
		result = KGW_TRAP_PASSING;
	return result;
}

/* Settle one without what a receiver had a hand in. */
static KgwTrapResult
settle_reduced(KgwSettlement *settlement, bool *locked)
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
	result = kgw_loop_commit(&reduced, 1, locked, false);
	settlement->locked = reduced.locked;
	return result;
}

/* Settle one alone, whole or, if that can't be, without its bodies; durably. */
KgwTrapResult
kgw_loop_commit_alone(KgwSettlement *settlement, bool *locked)
{
	KgwTrapResult	result = kgw_loop_commit(settlement, 1, locked, false);

	return result == KGW_TRAP_FAILED ? settle_reduced(settlement, locked) : result;
}

