/*-------------------------------------------------------------------------
 *
 * error_trap.c
 *	  Errors that a worker lives with.
 *
 * An error that leaves a worker's main loop ends the process, and what was in
 * flight is then sent once more.  That is right for an error nobody thought of,
 * and wrong for trouble that passes by itself: an operator's lock, a full disk,
 * a deadlock.  Those are caught here, logged, shown in kgwebhook.stats, and told
 * to the caller, who tries again later.
 *
 * What is guarded runs transactions of its own: after an error the transaction is
 * aborted here.  A request to end (SIGTERM, pg_terminate_backend()) is never
 * caught.
 *
 * src/worker/error_trap.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"

#include "shmem/counters.h"
#include "worker/error_trap.h"

static KgwGuarded
classify_error(int sqlstate)
{
	int			category = ERRCODE_TO_CATEGORY(sqlstate);

	if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
		return KGW_GUARDED_LOCKED;
	if (category == ERRCODE_INSUFFICIENT_RESOURCES ||
		category == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE ||
		category == ERRCODE_TRANSACTION_ROLLBACK ||
		category == ERRCODE_INVALID_TRANSACTION_STATE ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_IO_ERROR))
		return KGW_GUARDED_PASSING;
	return KGW_GUARDED_FAILED;
}

static KgwGuarded
guard(void (*act) (void *), void *arg, bool passing_only)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile KgwGuarded result = KGW_GUARDED_DONE;

	PG_TRY();
	{
		act(arg);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		result = classify_error(error->sqlerrcode);
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION ||
			(passing_only && result == KGW_GUARDED_FAILED))
			PG_RE_THROW();
		HOLD_INTERRUPTS();
		kgw_counters_error(error);
		EmitErrorReport();
		AbortOutOfAnyTransaction();	/* it may have begun a subtransaction */
		FlushErrorState();
		FreeErrorData(error);
		pgstat_report_activity(STATE_IDLE, NULL);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	return result;
}

/* Act; an error is logged, and what it means returned. */
KgwGuarded
kgw_error_trap_run(void (*act) (void *), void *arg)
{
	return guard(act, arg, false);
}

/* The same, but an error that won't pass by itself is raised. */
KgwGuarded
kgw_error_trap_passing(void (*act) (void *), void *arg)
{
	return guard(act, arg, true);
}
