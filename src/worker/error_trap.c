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
 * What is called runs transactions of its own: after an error the transaction is
 * aborted here.  A request to end (SIGTERM, pg_terminate_backend()) is never
 * caught.
 *
 * src/worker/error_trap.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pg/error_recovery.h"
#include "shmem/counters.h"
#include "worker/error_trap.h"

static KgwTrapResult
classify_error(int sqlstate)
{
	int			category = ERRCODE_TO_CATEGORY(sqlstate);

	if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
		return KGW_TRAP_LOCKED;
	if (category == ERRCODE_INSUFFICIENT_RESOURCES ||
		category == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE ||
		category == ERRCODE_TRANSACTION_ROLLBACK ||
		category == ERRCODE_INVALID_TRANSACTION_STATE ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_IO_ERROR))
		return KGW_TRAP_PASSING;
	return KGW_TRAP_FAILED;
}

/* Put an error on record that the worker lives with. */
static bool
record(const ErrorData *error)
{
	kgw_counters_error(error);
	EmitErrorReport();
	return true;
}

static bool
record_passing(const ErrorData *error)
{
	return classify_error(error->sqlerrcode) != KGW_TRAP_FAILED && record(error);
}

static KgwTrapResult
run_trapped(void (*act) (void *), void *arg, KgwErrorTaker take)
{
	ErrorData  *error = kgw_error_recovery_transaction(act, arg, take);
	KgwTrapResult	result;

	if (error == NULL)
		return KGW_TRAP_DONE;
	result = classify_error(error->sqlerrcode);
	FreeErrorData(error);
	return result;
}

/* Act; an error is logged, and what it means returned. */
KgwTrapResult
kgw_error_trap_run(void (*act) (void *), void *arg)
{
	return run_trapped(act, arg, record);
}

/* The same, but an error that won't pass by itself is raised. */
KgwTrapResult
kgw_error_trap_passing(void (*act) (void *), void *arg)
{
	return run_trapped(act, arg, record_passing);
}
