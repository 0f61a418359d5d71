/*-------------------------------------------------------------------------
 *
 * test/unit/test_header.c
 *	  What is read of a header line.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/http_header.h"

#include "tap.h"

#define LENGTH(text) (sizeof(text) - 1)

static void
taken(const char *line, const char *value)
{
	char		out[8] = "before";

	ok(kgw_http_header_value(line, strlen(line), "retry-after", out, sizeof(out)),
	   "'%.16s...' is taken", line);
	is_str(out, value, "and has its value");
}

static void
left(const char *line, size_t len, const char *why)
{
	char		out[8] = "before";

	ok(!kgw_http_header_value(line, len, "retry-after", out, sizeof(out)), "left: %s", why);
	is_str(out, "before", "and nothing is written");
}

int
main(void)
{
	taken("Retry-After: 120\r\n", "120");
	taken("retry-after:5", "5");
	taken("RETRY-AFTER: \t 5 \t\r\n", "5");
	taken("Retry-After: 1234567\n", "1234567");
	taken("Retry-After:\r\n", "");
	taken("Retry-After: a b\tc\r\n", "a b\tc");

	left("Retry-After: 12345678\r\n", LENGTH("Retry-After: 12345678\r\n"), "too long");
	left("Retry-After: 5\0005\r\n", LENGTH("Retry-After: 5\0005\r\n"), "a NUL");
	left("Retry-After: 5\r5\r\n", LENGTH("Retry-After: 5\r5\r\n"), "a bare CR");
	left("Retry-After: 5\x1b\r\n", LENGTH("Retry-After: 5\x1b\r\n"), "an escape");
	left("Retry-After: \xff\r\n", LENGTH("Retry-After: \xff\r\n"), "no ASCII");
	left("Retry-After : 5\r\n", LENGTH("Retry-After : 5\r\n"), "a blank before the colon");
	left("Retry-Afte: 5\r\n", LENGTH("Retry-Afte: 5\r\n"), "a shorter name");
	left("Retry-Afters: 5\r\n", LENGTH("Retry-Afters: 5\r\n"), "a longer name");
	left(" Retry-After: 5\r\n", LENGTH(" Retry-After: 5\r\n"), "a folded line");
	left("Retry-After", LENGTH("Retry-After"), "no colon");
	left("", 0, "nothing");
	return done_testing();
}
