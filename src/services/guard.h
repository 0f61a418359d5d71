/*-------------------------------------------------------------------------
 *
 * guard.h
 *	  Errors that a worker lives with.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_GUARD_H
#define KGW_GUARD_H

/* How it went. */
typedef enum KgwGuarded
{
	KGW_GUARDED_DONE,
	KGW_GUARDED_LOCKED,			/* somebody holds a lock that it needs */
	KGW_GUARDED_PASSING,		/* something else that would strike anything */
	KGW_GUARDED_FAILED			/* it is the thing itself */
} KgwGuarded;

extern KgwGuarded kgw_guard(void (*act) (void *), void *arg);
extern KgwGuarded kgw_guard_passing(void (*act) (void *), void *arg);

#endif							/* KGW_GUARD_H */
