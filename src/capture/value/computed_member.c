/*-------------------------------------------------------------------------
 *
 * computed_member.c
 *	  Members of a payload that no column holds: what the event itself is.
 *
 * They are in the body, so they are signed, unlike the headers that say some of
 * the same.  All receivers of an event and all attempts get the same ones, as they
 * are made once, in the transaction of the change.
 *
 * $occurred_at is the time of the change and not that of the transaction's start:
 * of two transactions the one that began later may have changed the object first.
 *
 * src/capture/value/computed_member.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/datetime.h"
#include "utils/numeric.h"

#include "capture/value/computed_member.h"

static const struct
{
	const char *source;
	KgwComputed computed;
	const char *note;
}			sources[] = {
	{"$type", KGW_COMPUTED_TYPE, "the event's name"},
	{"$event_id", KGW_COMPUTED_EVENT_ID, "the webhook-id: the same for every attempt and receiver"},
	{"$occurred_at", KGW_COMPUTED_OCCURRED_AT, "when the status changed, RFC 3339 in UTC"},
	{"$previous_status", KGW_COMPUTED_PREVIOUS_STATUS, "the status before; null at creation"},
	{"$sequence", KGW_COMPUTED_SEQUENCE, "a number that rises with each event of an object"},
	{"$org_id", KGW_COMPUTED_ORG_ID, "the organization"},
};

/* Which of them a payload's map means, or KGW_COMPUTED_NONE. */
KgwComputed
kgw_computed_member_of(const char *source)
{
	for (size_t i = 0; i < lengthof(sources); i++)
	{
		if (strcmp(sources[i].source, source) == 0)
			return sources[i].computed;
	}
	return KGW_COMPUTED_NONE;
}

/* What it is, in words. */
const char *
kgw_computed_member_note(KgwComputed computed)
{
	for (size_t i = 0; i < lengthof(sources); i++)
	{
		if (sources[i].computed == computed)
			return sources[i].note;
	}
	return NULL;
}

static void
text_value(JsonbValue *value, const char *text)
{
	if (text == NULL)
	{
		value->type = jbvNull;
		return;
	}
	value->type = jbvString;
	value->val.string.val = unconstify(char *, text);
	value->val.string.len = strlen(text);
}

/* With all six decimals, so that it also sorts as text. */
static char *
rfc3339(TimestampTz when)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(when, NULL, &tm, &fsec, NULL, NULL) != 0)
		return "";
	return psprintf("%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year, tm.tm_mon, tm.tm_mday,
					tm.tm_hour, tm.tm_min, tm.tm_sec, (int) fsec);
}

void
kgw_computed_member_value(JsonbValue *value, KgwComputed computed, const KgwEventFacts *facts)
{
	switch (computed)
	{
		case KGW_COMPUTED_TYPE:
			text_value(value, facts->type);
			break;
		case KGW_COMPUTED_EVENT_ID:
			text_value(value, facts->event_id);
			break;
		case KGW_COMPUTED_OCCURRED_AT:
			text_value(value, rfc3339(facts->occurred_at));
			break;
		case KGW_COMPUTED_PREVIOUS_STATUS:
			text_value(value, facts->previous_status);
			break;
		case KGW_COMPUTED_SEQUENCE:
			value->type = jbvNumeric;
			value->val.numeric = int64_to_numeric(facts->sequence);
			break;
		case KGW_COMPUTED_ORG_ID:
			text_value(value, facts->org_id);
			break;
		case KGW_COMPUTED_NONE:
			value->type = jbvNull;
			break;
	}
}
