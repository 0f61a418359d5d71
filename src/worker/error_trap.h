/*-------------------------------------------------------------------------
 *
 * error_trap.h
 *	  Errors that a worker lives with.
 *
 * src/worker/error_trap.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_WORKER_ERROR_TRAP_H
#define KGW_WORKER_ERROR_TRAP_H

/* How it went. */
typedef enum KgwTrapResult
{
	KGW_TRAP_DONE,
	KGW_TRAP_LOCKED,			/* someone holds a lock that it needs */
	KGW_TRAP_PASSING,		/* something else that would strike anything */
	KGW_TRAP_FAILED			/* it is the thing itself */
} KgwTrapResult;

extern KgwTrapResult kgw_error_trap_run(void (*act) (void *), void *arg);
extern KgwTrapResult kgw_error_trap_passing(void (*act) (void *), void *arg);

#endif							/* KGW_WORKER_ERROR_TRAP_H */
