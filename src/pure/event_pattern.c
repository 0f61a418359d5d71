/*-------------------------------------------------------------------------
 *
 * event_pattern.c
 *	  Which events a subscription is for.
 *
 * The name of an event is a kind and a status, joined by a dot.  A pattern is
 * such a name, in which one "*" may stand for any characters, or none:
 * "payment_intent.*", "*.success", "*".  More than one is refused, so that a
 * match is two comparisons, however long a status is: it is made inside of
 * payments.
 *
 * Pure: no allocation, no locale.
 *
 * src/pure/event_pattern.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/event_pattern.h"

#include <string.h>

static bool
has_control(const char *pattern, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) pattern[i];

		if (c < 0x20 || c == 0x7f)
			return true;
	}
	return false;
}

/* What is wrong with a pattern, or NULL; a constant text. */
const char *
kgw_event_pattern_judge(const char *pattern, size_t len)
{
	const char *star = memchr(pattern, '*', len);

	if (len == 0)
		return "it is empty";
	if (len > KGW_PATTERN_MAX)
		return "it is longer than 200 bytes";
	if (has_control(pattern, len))
		return "it contains a control character";
	if (pattern[0] == ' ' || pattern[len - 1] == ' ')
		return "it begins or ends with a space";
	if (star != NULL && memchr(star + 1, '*', pattern + len - star - 1) != NULL)
		return "it has more than one *";
	if (star == NULL && memchr(pattern, '.', len) == NULL)
		return "it has no dot, and the name of every event has one";
	return NULL;
}

/* Whether a pattern, judged well, is for the event of this name. */
bool
kgw_event_pattern_matches(const char *pattern, const char *event)
{
	const char *star = strchr(pattern, '*');
	size_t		before,
				after,
				len;

	if (star == NULL)
		return strcmp(pattern, event) == 0;
	before = star - pattern;
	after = strlen(star + 1);
	len = strlen(event);
	return len >= before + after && memcmp(event, pattern, before) == 0 &&
		memcmp(event + len - after, star + 1, after) == 0;
}
