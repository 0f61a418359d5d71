/*-------------------------------------------------------------------------
 *
 * circuit_breaker.h
 *	  How much a destination, or an endpoint of one, is trusted with: its window
 *	  and its breaker.
 *
 * src/pure/circuit_breaker.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_CIRCUIT_BREAKER_H
#define KGW_PURE_CIRCUIT_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

/* Objects that have to fail in a row before the breaker opens. */
#define KGW_HEALTH_SUSPECTS 5

/* Requests in flight to what nothing is known of. */
#define KGW_WINDOW_ENDPOINT 2
#define KGW_WINDOW_DESTINATION 8

/* What an attempt says about whom it was sent to. */
typedef enum KgwSign
{
	KGW_SIGN_NONE,				/* nothing: it was never sent */
	KGW_SIGN_SUCCESS,
	KGW_SIGN_REFUSED,			/* answered, and didn't want this one */
	KGW_SIGN_FAILED,			/* the endpoint answered that it fails, or not at all */
	KGW_SIGN_DOWN				/* the destination could not be reached */
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
	bool		suspended;		/* what it depends on has its breaker open */
	bool		counting;		/* neither open nor suspended */
	int64_t		closed_total;	/* how long that has been so ... */
	int64_t		closed_since;	/* ... before this, when it is so */
} KgwHealth;

extern void kgw_circuit_breaker_init(KgwHealth *health, int window, int64_t now);
extern int	kgw_circuit_breaker_limit(const KgwHealth *health, int cap, int64_t now);
extern bool kgw_circuit_breaker_probe_due(const KgwHealth *health, int64_t now);
extern void kgw_circuit_breaker_note(KgwHealth *health, KgwSign sign, uint64_t object, int64_t now);
extern void kgw_circuit_breaker_suspend(KgwHealth *health, bool suspended, int64_t now);
extern void kgw_circuit_breaker_hasten(KgwHealth *health, int64_t now);
extern int64_t kgw_circuit_breaker_closed_time(const KgwHealth *health, int64_t now);

#endif							/* KGW_PURE_CIRCUIT_BREAKER_H */
