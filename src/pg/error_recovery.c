/*-------------------------------------------------------------------------
 *
 * error_recovery.c
 *	  Errors that are caught, at the two levels where that is sound.
 *
 * After an error, locks, buffers, snapshots and plans are in no state to go on
 * with: only an abort puts them back.  So an error is caught together with the
 * transaction that it happened in (a background worker's), or with a
 * subtransaction (in someone else's transaction), and in no third way.
 *
 * A request to end (SIGTERM, pg_terminate_backend(), a canceled statement) is
 * never kept.
 *
 * src/pg/error_recovery.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "pg/error_recovery.h"

static bool
is_request_to_end(const ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION;
}

/*
 * Act, which begins and ends transactions of its own.  Returns NULL; or, after an
 * error that "take" (or NULL, for any) lets pass, the error in the caller's memory
 * context, its transaction aborted.
 */
ErrorData *
kgw_error_recovery_transaction(void (*act) (void *), void *arg, KgwErrorTaker take)
{
	MemoryContext caller = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;

	Assert(!IsTransactionState());
	PG_TRY();
	{
		act(arg);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		if (is_request_to_end(error) || (take != NULL && !take(error)))
			PG_RE_THROW();
		HOLD_INTERRUPTS();
		AbortOutOfAnyTransaction(); /* it may have begun a subtransaction */
		FlushErrorState();
		pgstat_report_activity(STATE_IDLE, NULL);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	return error;
}

/*
 * Act in a subtransaction.  Returns NULL; or, after an error, the error in the
 * caller's memory context, all that was done rolled back.  Cancellation and
 * shutdown are raised again only once our subtransaction is gone: who catches them
 * rolls back what is current then, which must be theirs.
 */
ErrorData *
kgw_error_recovery_subtransaction(void (*act) (void *), void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int			level PG_USED_FOR_ASSERTS_ONLY = GetCurrentTransactionNestLevel();
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		act(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	Assert(GetCurrentTransactionNestLevel() == level);
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	if (error != NULL && is_request_to_end(error))
		ReThrowError(error);
	return error;
}
