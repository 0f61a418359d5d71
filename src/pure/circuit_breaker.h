/*-------------------------------------------------------------------------
 *
 * circuit_breaker.h
 *	  How much a destination is trusted with: its window and its breaker.
 *
 * src/pure/circuit_breaker.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_CIRCUIT_BREAKER_H
#define KGW_PURE_CIRCUIT_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

/* Objects that have to be refused in a row before the breaker opens. */
#define KGW_HEALTH_SUSPECTS 5

/* What an attempt says about its destination. */
typedef enum KgwSign
{
	KGW_SIGN_NONE,				/* nothing: it was never sent */
	KGW_SIGN_SUCCESS,
	KGW_SIGN_REFUSED,			/* answered, and didn't want this one */
	KGW_SIGN_FAILED,			/* answered that it is ill, or too late */
	KGW_SIGN_DOWN				/* could not be reached */
} KgwSign;

/* Times are microseconds of a monotonic clock. */
typedef struct KgwHealth
{
	double		window;			/* requests that may be in flight */
	int			failures;		/* attempts in a row without success */
	int			suspect_count;	/* objects among them, up to the limit */
	uint64_t	suspects[KGW_HEALTH_SUSPECTS];
	bool		open;			/* the breaker */
	int64_t		failed_at;		/* the last failure; 0 = none yet */
	int64_t		probe_at;		/* when open: not before this */
	int64_t		pause;			/* when open: between probes */
	int64_t		closed_total;	/* how long the breaker has been closed ... */
	int64_t		closed_since;	/* ... before this, when it is closed */
} KgwHealth;

extern void kgw_circuit_breaker_init(KgwHealth *health, int64_t now);
extern int	kgw_circuit_breaker_limit(const KgwHealth *health, int cap, int64_t now);
extern bool kgw_circuit_breaker_probe_due(const KgwHealth *health, int64_t now);
extern void kgw_circuit_breaker_note(KgwHealth *health, KgwSign sign, uint64_t object, int64_t now);
extern int64_t kgw_circuit_breaker_closed_time(const KgwHealth *health, int64_t now);

#endif							/* KGW_PURE_CIRCUIT_BREAKER_H */
