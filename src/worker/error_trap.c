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
 * Memory that is missing passes, too.  But what a library could not load for want of it,
 * it may not look for again: OpenSSL 3.0 takes an algorithm for one that it does not have, and
 * that is no memory each time.  So a worker that is out of memory for longer ends, and its
 * successor begins with libraries that know nothing of it.
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

#include "pg/clock.h"
#include "pg/error_recovery.h"
#include "shmem/counters.h"
#include "worker/error_trap.h"

/* Out of memory for so long, with no pause as long as that, a worker ends; microseconds. */
#define MEMORY_PATIENCE INT64CONST(10000000)
#define MEMORY_PAUSE INT64CONST(5000000)

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

/* Whether memory has been missing for longer than it is waited for. */
static bool
is_starved(int sqlstate)
{
	static KgwTicks since;
	static KgwTicks last;
	KgwTicks	now = kgw_clock_ticks();

	if (sqlstate != ERRCODE_OUT_OF_MEMORY)
		return false;
	if (last == 0 || now - last >= MEMORY_PAUSE)
		since = now;
	last = now;
	return now - since >= MEMORY_PATIENCE;
}

static bool
record_passing(const ErrorData *error)
{
	return classify_error(error->sqlerrcode) != KGW_TRAP_FAILED &&
		!is_starved(error->sqlerrcode) && record(error);
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
