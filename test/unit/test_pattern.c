/*-------------------------------------------------------------------------
 *
 * test_pattern.c
 *	  Which patterns of events are refused, and what the others are for.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/event_pattern.h"

#include "tap.h"

static void
accepts(const char *pattern)
{
	is_str(kgw_event_pattern_judge(pattern, strlen(pattern)), NULL, "accepts \"%s\"", pattern);
}

static void
refuses(const char *pattern, const char *fault)
{
	is_str(kgw_event_pattern_judge(pattern, strlen(pattern)), fault, "refuses \"%s\"", pattern);
}

static void
test_judge(void)
{
	char		longest[KGW_PATTERN_MAX + 2];

	accepts("*");
	accepts("payment_intent.*");
	accepts("*.success");
	accepts("pay*.success");
	accepts("payment_intent.not paid yet");
	accepts(".");
	refuses("", "it is empty");
	refuses("payment_intent", "it has no dot, and the name of every event has one");
	refuses("**", "it has more than one *");
	refuses("*.*", "it has more than one *");
	refuses(" a.b", "it begins or ends with a space");
	refuses("a.b ", "it begins or ends with a space");
	is_str(kgw_event_pattern_judge("a.\nb", 4), "it contains a control character", "refuses a line feed");
	is_str(kgw_event_pattern_judge("a.\x7f", 3), "it contains a control character", "refuses DEL");
	is_str(kgw_event_pattern_judge("*a\0b", 4), "it contains a control character", "refuses NUL");
	memset(longest, '.', sizeof(longest));
	is_str(kgw_event_pattern_judge(longest, KGW_PATTERN_MAX), NULL, "accepts 200 bytes");
	is_str(kgw_event_pattern_judge(longest, KGW_PATTERN_MAX + 1), "it is longer than 200 bytes",
		   "refuses 201");
}

static void
matches(const char *pattern, const char *event, bool expected)
{
	ok(kgw_event_pattern_matches(pattern, event) == expected, "\"%s\" is %sfor \"%s\"", pattern,
	   expected ? "" : "not ", event);
}

static void
test_matches(void)
{
	matches("*", "payment_intent.success", true);
	matches("*", "", true);
	matches("payment_intent.success", "payment_intent.success", true);
	matches("payment_intent.success", "payment_intent.succes", false);
	matches("payment_intent.success", "payment_intent.success2", false);
	matches("payment_intent.*", "payment_intent.success", true);
	matches("payment_intent.*", "payment_intent.", true);
	matches("payment_intent.*", "payment_intent", false);
	matches("payment_intent.*", "payment_intents.success", false);
	matches("*.success", "transfer.success", true);
	matches("*.success", ".success", true);
	matches("*.success", "success", false);
	matches("*.success", "transfer.unsuccess", false);
	matches("a*b", "ab", true);
	matches("a*b", "a.x.b", true);
	matches("a*b", "a", false);
	matches("aba*aba", "ababa", false);
	matches("aba*aba", "abaaba", true);
	matches("a.*", "A.b", false);
}

int
main(void)
{
	test_judge();
	test_matches();
	return done_testing();
}
