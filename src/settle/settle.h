/*-------------------------------------------------------------------------
 *
 * settle.h
 *	  Writing down how attempts ended.
 *
 * src/settle/settle.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SETTLE_SETTLE_H
#define KGW_SETTLE_SETTLE_H

#include "send/attempt.h"

/* What happens to the delivery after the attempt. */
typedef enum KgwFate
{
	KGW_FATE_DONE,				/* acknowledged or superseded: leaves the queue */
	KGW_FATE_DEAD,				/* becomes a dead letter */
	KGW_FATE_RETRY				/* stays, and is tried again */
} KgwFate;

typedef struct KgwSettlement
{
	const KgwDelivery *row;
	const KgwAttempt *attempt;
	KgwFate		fate;
	const char *reason;			/* of KGW_FATE_DEAD */
	TimestampTz next_attempt_at;	/* of KGW_FATE_RETRY */
	bool		undone;			/* of KGW_FATE_RETRY: takes no step of the schedule */
	bool		is_test;
	bool		locked;			/* its row is held by somebody: not settled */
	int64		attempt_id;		/* set by kgw_settle_log() */
} KgwSettlement;

extern void kgw_settle_log(KgwSettlement *settlements, int count);
extern void kgw_settle_mark_locked(KgwSettlement *settlements, int count);
extern void kgw_settle(KgwSettlement *settlements, int count);

#endif							/* KGW_SETTLE_SETTLE_H */
