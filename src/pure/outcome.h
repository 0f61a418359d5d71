/*-------------------------------------------------------------------------
 *
 * outcome.h
 *	  How attempts end.
 *
 * src/pure/outcome.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_OUTCOME_H
#define KGW_PURE_OUTCOME_H

#include "pure/circuit_breaker.h"

/* The order is that of kgwebhook.worker_stats(). */
typedef enum KgwOutcome
{
	KGW_ACKNOWLEDGED,
	KGW_REJECTED,
	KGW_TIMED_OUT,
	KGW_UNREACHABLE,
	KGW_BLOCKED,
	KGW_INVALID,
	KGW_SUPERSEDED,
	KGW_OUTCOMES
} KgwOutcome;

extern const char *kgw_outcome_name(KgwOutcome outcome);
extern KgwSign kgw_outcome_sign(int status);

#endif							/* KGW_PURE_OUTCOME_H */
