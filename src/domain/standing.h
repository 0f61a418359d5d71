/*-------------------------------------------------------------------------
 *
 * standing.h
 *	  How a subscription stands, as a worker knows it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_STANDING_H
#define KGW_STANDING_H

#include "datatype/timestamp.h"
#include "domain/settle.h"

typedef struct KgwStanding
{
	int64		subscription_id;	/* hash key */
	bool		paused;
	char	   *refusal;		/* why it takes no deliveries, or NULL */
	TimestampTz failing_since;	/* 0 = it isn't failing */
} KgwStanding;

extern const KgwStanding *kgw_standing_known(int64 subscription_id);
extern const KgwStanding *kgw_standing_load(int64 subscription_id);
extern void kgw_standing_forget(void);
extern bool kgw_standing_reread(void);
extern void kgw_standing_settle(const KgwSettlement *settlements, int count);

#endif							/* KGW_STANDING_H */
