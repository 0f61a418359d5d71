/*-------------------------------------------------------------------------
 *
 * computed_member.h
 *	  Members of a payload that no column holds.
 *
 * src/capture/value/computed_member.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CAPTURE_VALUE_COMPUTED_MEMBER_H
#define KGW_CAPTURE_VALUE_COMPUTED_MEMBER_H

#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* What a payload's map may name besides columns (design A1). */
typedef enum KgwComputed
{
	KGW_COMPUTED_NONE,			/* a column */
	KGW_COMPUTED_TYPE,
	KGW_COMPUTED_EVENT_ID,
	KGW_COMPUTED_OCCURRED_AT,
	KGW_COMPUTED_PREVIOUS_STATUS,
	KGW_COMPUTED_SEQUENCE,
	KGW_COMPUTED_ORG_ID
} KgwComputed;

/* What they are made of. */
typedef struct KgwEventFacts
{
	const char *type;
	const char *event_id;
	TimestampTz occurred_at;
	const char *previous_status;	/* or NULL */
	int64		sequence;
	const char *org_id;
} KgwEventFacts;

extern KgwComputed kgw_computed_member_of(const char *source);
extern const char *kgw_computed_member_note(KgwComputed computed);
extern void kgw_computed_member_value(JsonbValue *value, KgwComputed computed,
									  const KgwEventFacts *facts);

#endif							/* KGW_CAPTURE_VALUE_COMPUTED_MEMBER_H */
