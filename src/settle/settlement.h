/*-------------------------------------------------------------------------
 *
 * settlement.h
 *	  What is decided about one delivery after an attempt.
 *
 * src/settle/settlement.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SETTLE_SETTLEMENT_H
#define KGW_SETTLE_SETTLEMENT_H

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
	TimestampTz not_before;		/* the same: what the receiver asked for, or 0 */
	TimestampTz refused_at;		/* the same: when this attempt was refused, or 0 */
	int64		held;			/* and how long it has been refused, microseconds */
	bool		is_test;
	bool		locked;			/* another session has locked its row: not settled */
	int64		attempt_id;		/* set by kgw_settle_log() */
} KgwSettlement;

#endif							/* KGW_SETTLE_SETTLEMENT_H */
