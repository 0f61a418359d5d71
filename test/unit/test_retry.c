/*-------------------------------------------------------------------------
 *
 * test/unit/test_retry.c
 *	  The retry schedule, and what a receiver asks for in Retry-After.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/retry_schedule.h"

#include <math.h>
#include <stdlib.h>

#include "tap.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)

/* Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110 */
#define EXAMPLE INT64_C(784111777)

static const char default_schedule[] =
"5s,30s,2min,10min,30min,2h,5h,10h,14h,20h,24h";

static KgwSchedule
schedule(const char *text)
{
	KgwSchedule out;
	char		problem[128] = "";

	ok(kgw_retry_schedule_parse(text, &out, problem, sizeof(problem)),
	   "schedule '%s' parses%s", text, problem);
	return out;
}

static void
test_parse(void)
{
	static const struct
	{
		const char *text;
		int64_t		us;
	}			one[] = {
		{"1us", 1}, {"1ms", 1000}, {"1s", SECOND}, {"1min", 60 * SECOND},
		{"1h", HOUR}, {"1d", 24 * HOUR}, {"30d", 720 * HOUR},
		{"2592000s", 720 * HOUR}, {"1.5s", 1500000}, {"0.5ms", 500},
		{"0.25h", HOUR / 4}, {" 5 s ", 5 * SECOND}, {"5\tmin", 300 * SECOND},
		{"007s", 7 * SECOND}, {"0.1s", 100000}, {"1.000001s", 1000001},
		{"0.0000015s", 2}, {"0.00000000001d", 1}, {"0.5us", 1},
	};
	KgwSchedule out = schedule(default_schedule);
	size_t		i;

	is_int(out.n, 11, "the default has 11 delays");
	is_int(out.delay_us[0], 5 * SECOND, "the first is 5 seconds");
	is_int(out.delay_us[2], 120 * SECOND, "the third is 2 minutes");
	is_int(out.delay_us[10], 24 * HOUR, "the last is 24 hours");
	is_int(kgw_retry_schedule_span(&out), 75 * HOUR + (42 * 60 + 35) * SECOND,
		   "together they span three days");

	for (i = 0; i < COUNT(one); i++)
	{
		out = schedule(one[i].text);
		is_int(out.n, 1, "it is one delay");
		is_int(out.delay_us[0], one[i].us, "of %lld us", (long long) one[i].us);
	}
	out = schedule("");
	is_int(out.n, 0, "it is no delay");
	is_int(kgw_retry_schedule_span(&out), 0, "and spans nothing");
	is_int(schedule("  ").n, 0, "blanks are no delay");
	is_int(schedule(" 1s , 2s ").n, 2, "blanks may stand around items");
}

static void
test_parse_refused(void)
{
	static const char *const bad[] = {
		"5", "s", "5 ", "5x", "5sec", "5S", "5MIN", "5m", "5hours", "5s5",
		"5ss", "-5s", "+5s", "1e3s", "0x5s", "1.s", ".5s", ".", "1..5s",
		"1.5.5s", "1,5", "5s,", ",5s", "5s,,5s", ",", "5s;6s", "5s 6s",
		"inf", "nan", "infs", "nans", "\xef\xbc\x95s",
		"0s", "0.0s", "0.4us", "0.000000000000001s", "2592000.000001s",
		"30.001d", "31d", "721h", "999999999999999d", "1.000000000000000s", "1000000000000000us"
	};
	KgwSchedule out;
	char		problem[128];
	char		many[KGW_SCHEDULE_MAX * 3 + 3] = "";
	size_t		i;

	for (i = 0; i < COUNT(bad); i++)
	{
		problem[0] = '\0';
		ok(!kgw_retry_schedule_parse(bad[i], &out, problem, sizeof(problem)) &&
		   problem[0] != '\0', "no schedule: '%s'", bad[i]);
	}
	kgw_retry_schedule_parse("5s, 10", &out, problem, sizeof(problem));
	is_str(problem, "\"10\" is not a number with a unit of us, ms, s, min, h or d.",
		   "the sentence says what is missing");
	kgw_retry_schedule_parse("5s,31d", &out, problem, sizeof(problem));
	is_str(problem, "\"31d\" is not more than 0 and at most 30 days.",
		   "or what is too much");

	for (i = 0; i < KGW_SCHEDULE_MAX; i++)
		strcat(many, i == 0 ? "1s" : ",1s");
	ok(kgw_retry_schedule_parse(many, &out, problem, sizeof(problem)) &&
	   out.n == KGW_SCHEDULE_MAX, "64 delays parse");
	strcat(many, ",1s");
	ok(!kgw_retry_schedule_parse(many, &out, problem, sizeof(problem)),
	   "65 do not");
	is_str(problem, "There are more than 64 delays.", "and it is said");
}

static void
test_delay(void)
{
	KgwSchedule out = schedule("10s,20s,30d");
	KgwSchedule never = schedule("");

	is_int(kgw_retry_schedule_delay(&out, 1, 0, 0.7), 10 * SECOND,
		   "after the first attempt, the first delay");
	is_int(kgw_retry_schedule_delay(&out, 2, 0, 0.7), 20 * SECOND,
		   "after the second, the second");
	is_int(kgw_retry_schedule_delay(&out, 3, 0, 0.7), 720 * HOUR, "then the last");
	is_int(kgw_retry_schedule_delay(&out, 4, 0, 0.7), -1, "then no more");
	is_int(kgw_retry_schedule_delay(&out, 2147483647, 0, 0.7), -1, "ever");
	is_int(kgw_retry_schedule_delay(&never, 1, 0, 0.7), -1,
		   "an empty schedule gives no second attempt");
	is_int(kgw_retry_schedule_delay(&never, 0, 0, 0.7), -1, "whatever is asked");
	is_int(kgw_retry_schedule_delay(&out, 0, 0, 0.7), 10 * SECOND,
		   "no attempt counts as the first");
	is_int(kgw_retry_schedule_delay(&out, -2147483647 - 1, 0, 0), 10 * SECOND,
		   "fewer too");

	is_int(kgw_retry_schedule_delay(&out, 1, 0.2, 0), 8 * SECOND,
		   "chance shortens by the jitter at most");
	is_int(kgw_retry_schedule_delay(&out, 1, 0.2, 0.5), 10 * SECOND,
		   "and not in the middle");
	is_int(kgw_retry_schedule_delay(&out, 1, 0.2, 1 - 1e-9), 12 * SECOND,
		   "and lengthens as much");
	is_int(kgw_retry_schedule_delay(&out, 1, 1, 0), 0, "full jitter goes down to 0");
	is_int(kgw_retry_schedule_delay(&out, 3, 1, 1), 1440 * HOUR, "and up to twice");
	is_int(kgw_retry_schedule_delay(&out, 3, 1e300, 1e300), 1440 * HOUR,
		   "shares above 1 count as 1");
	is_int(kgw_retry_schedule_delay(&out, 1, -1, -1), 10 * SECOND,
		   "shares below 0 count as 0");
	is_int(kgw_retry_schedule_delay(&out, 1, NAN, NAN), 10 * SECOND,
		   "what is not a number counts as 0");
}

/* From a copy that ends where the value ends, so that a sanitizer sees overruns. */
static int64_t
retry_after(const char *value, int64_t now)
{
	size_t		len = strlen(value);
	char	   *copy = malloc(len > 0 ? len : 1);
	int64_t		seconds;

	memcpy(copy, value, len);
	seconds = kgw_retry_schedule_parse_after(copy, len, now);
	free(copy);
	return seconds;
}

static void
test_retry_after_seconds(void)
{
	static const struct
	{
		const char *value;
		int64_t		seconds;
	}			cases[] = {
		{"0", 0}, {"1", 1}, {"120", 120}, {"0120", 120}, {" 120\t", 120},
		{"86399", 86399}, {"86400", 86400}, {"86401", 86400},
		{"18446744073709551617", 86400},
		{"99999999999999999999999999999999999999999999999999", 86400},
		{"", -1}, {" ", -1}, {"-1", -1}, {"+1", -1}, {"1.5", -1}, {"1s", -1},
		{"1 2", -1}, {"1,2", -1}, {"0x10", -1}, {"1e3", -1}, {"soon", -1},
		{"120\r\n", -1}, {"\v120", -1}, {"\xef\xbc\x91", -1},
	};
	size_t		i;

	for (i = 0; i < COUNT(cases); i++)
		is_int(retry_after(cases[i].value, EXAMPLE), cases[i].seconds,
			   "seconds, case %d", (int) i);
	is_int(kgw_retry_schedule_parse_after("120\0" "0", 5, EXAMPLE), -1, "NUL ends nothing");
}

static void
test_retry_after_dates(void)
{
	static const char *const forms[] = {
		"Sun, 06 Nov 1994 08:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37 GMT",
		"Sun Nov  6 08:49:37 1994",
		"Sun Nov 06 08:49:37 1994",
		"\t Sun, 06 Nov 1994 08:49:37 GMT ",
		"Mon, 06 Nov 1994 08:49:37 GMT",
		"Tuesday, 06-Nov-94 08:49:37 GMT",
	};
	size_t		i;

	for (i = 0; i < COUNT(forms); i++)
	{
		is_int(retry_after(forms[i], EXAMPLE), 0, "'%s' is now", forms[i]);
		is_int(retry_after(forms[i], EXAMPLE + 1), 0, "is past");
		is_int(retry_after(forms[i], EXAMPLE + 1000000000), 0, "is long past");
		is_int(retry_after(forms[i], EXAMPLE - 1), 1, "is in a second");
		is_int(retry_after(forms[i], EXAMPLE - 86400), 86400, "is in a day");
		is_int(retry_after(forms[i], EXAMPLE - 86401), 86400, "is capped");
	}
}

static void
test_retry_after_calendar(void)
{
	static const struct
	{
		const char *value;
		int64_t		unix_time;	/* as `date -u -d ... +%s` has it; -1: refused */
	}			cases[] = {
		{"Thu, 01 Jan 1970 00:00:01 GMT", 1},
		{"Thu, 31 Dec 1970 23:59:59 GMT", 31535999},
		{"Tue, 29 Feb 2000 12:00:00 GMT", 951825600},
		{"Wed, 01 Mar 2000 00:00:00 GMT", 951868800},
		{"Thu, 29 Feb 2024 00:00:00 GMT", 1709164800},
		{"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800},
		{"Mon, 28 Feb 2100 23:59:59 GMT", 4107542399},
		{"Mon, 01 Mar 2100 00:00:00 GMT", 4107542400},
		{"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
		{"Wed, 29 Feb 2023 00:00:00 GMT", -1},
		{"Mon, 29 Feb 2100 00:00:00 GMT", -1},
		{"Mon, 00 Jan 2024 00:00:00 GMT", -1},
		{"Mon, 32 Jan 2024 00:00:00 GMT", -1},
		{"Mon, 31 Apr 2024 00:00:00 GMT", -1},
		{"Mon, 31 Jun 2024 00:00:00 GMT", -1},
		{"Mon, 31 Sep 2024 00:00:00 GMT", -1},
		{"Mon, 31 Nov 2024 00:00:00 GMT", -1},
		{"Mon, 01 Jan 2024 24:00:00 GMT", -1},
		{"Mon, 01 Jan 2024 00:60:00 GMT", -1},
		{"Mon, 01 Jan 2024 00:00:61 GMT", -1},
	};
	size_t		i;

	for (i = 0; i < COUNT(cases); i++)
	{
		if (cases[i].unix_time < 0)
		{
			is_int(retry_after(cases[i].value, 1), -1, "'%s' is no date",
				   cases[i].value);
			continue;
		}
		is_int(retry_after(cases[i].value, cases[i].unix_time - 1), 1,
			   "'%s' is %lld", cases[i].value, (long long) cases[i].unix_time);
		is_int(retry_after(cases[i].value, cases[i].unix_time), 0,
			   "and not a second later");
	}
}

static void
test_retry_after_refused(void)
{
	static const char *const bad[] = {
		"Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 94 08:49:37 GMT",
		"Sun, 06 nov 1994 08:49:37 GMT", "sun, 06 Nov 1994 08:49:37 GMT",
		"Sun 06 Nov 1994 08:49:37 GMT", "Sun,06 Nov 1994 08:49:37 GMT",
		"Sun, 06-Nov-1994 08:49:37 GMT", "Sun, 06 Nov 1994 8:49:37 GMT",
		"Sun, 06 Nov 1994 08:49 GMT", "Sun, 06 Nov 1994 08:49:37",
		"Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37 +0000",
		"Sun, 06 Nov 1994 08:49:37 GMTx", "Sun, 06 Nov 1994 08:49:37 gmt",
		"Sun, 06 Nov 19945 08:49:37 GMT", "Sun, 06 Nov 1994  08:49:37 GMT",
		"Sun, 06 Nov +994 08:49:37 GMT", "Sun, -6 Nov 1994 08:49:37 GMT",
		"Day, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Mum 1994 08:49:37 GMT",
		"06 Nov 1994 08:49:37 GMT",
		"Sunday, 06-Nov-1994 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT",
		"Sunday, 06 Nov 94 08:49:37 GMT", "Sunday, 6-Nov-94 08:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37", "Sunday, 31-Nov-94 08:49:37 GMT",
		"Sun Nov 6 08:49:37 1994", "Sun Nov   6 08:49:37 1994",
		"Sun Nov  6 08:49:37 94", "Sun Nov  6 08:49:37 1994 GMT",
		"Sun Nov  0 08:49:37 1994", "Sun Nov 31 08:49:37 1994",
		"1994-11-06T08:49:37Z", "784111777.0", "Sun", "Sun, ", "Sunday, "
	};
	static const char whole[] = "Sun, 06 Nov 1994 08:49:37 GMT";
	size_t		i;
	int			wrong = 0;

	for (i = 0; i < COUNT(bad); i++)
		is_int(retry_after(bad[i], 0), -1, "no date: '%s'", bad[i]);
	for (i = 0; i < strlen(whole); i++)
	{
		char		part[sizeof(whole)];

		strcpy(part, whole);
		part[i] = '\0';
		wrong += retry_after(part, 0) != -1;
	}
	is_int(wrong, 0, "nothing shorter than a whole date is one");
}

/* Two digits of a year: never more than 50 years ahead (RFC 9110, 5.6.7). */
static void
test_retry_after_century(void)
{
	const int64_t now = 1719792000; /* 2024-07-01 00:00:00 */

	is_int(retry_after("Monday, 01-Jul-24 00:00:10 GMT", now), 10,
		   "24 is 2024 in 2024");
	is_int(retry_after("Monday, 01-Jul-25 00:00:00 GMT", now), 86400,
		   "25 is 2025");
	is_int(retry_after("Monday, 01-Jul-23 00:00:00 GMT", now), 0, "23 is 2023");
	is_int(retry_after("Sunday, 01-Jul-74 12:00:00 GMT", now), 86400,
		   "50 years of 365.25 days ahead is the future");
	is_int(retry_after("Sunday, 01-Jul-74 12:00:01 GMT", now), 0,
		   "a second more is the past");
	is_int(retry_after("Sunday, 01-Jul-75 00:00:00 GMT", now), 0,
		   "75 is 1975");
	is_int(retry_after("Friday, 01-Jul-99 00:00:00 GMT", now), 0,
		   "99 is 1999");
	is_int(retry_after("Tuesday, 29-Feb-00 00:00:00 GMT", now), 0,
		   "29 February 00 is on the calendar of 2000");
	is_int(retry_after("Saturday, 06-Nov-94 08:49:37 GMT", 3939871776), 1,
		   "94 is 2094 in 2094");
	is_int(retry_after("Thursday, 01-Jan-00 00:00:00 GMT", 4102444799), 1,
		   "00 is 2100 at the end of 2099");
	is_int(retry_after("Thursday, 29-Feb-00 00:00:00 GMT", 4102444799), -1,
		   "which has no 29 February");
}

static void
test_retry_after_clocks(void)
{
	is_int(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", INT64_MIN), 86400,
		   "a clock far in the past is survived");
	is_int(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", INT64_MAX), 0,
		   "a clock far in the future is survived");
	is_int(retry_after("Sunday, 06-Nov-94 08:49:37 GMT", INT64_MIN), 86400,
		   "also with two digits of a year");
	is_int(retry_after("Sunday, 06-Nov-94 08:49:37 GMT", INT64_MAX), 0,
		   "also in the future");
	is_int(retry_after("Sat, 01 Jan 0000 00:00:00 GMT", INT64_MAX), 0,
		   "the year 0 is past");
}

/* A wish makes the schedule's delay longer, never shorter. */
static void
test_retry_after_against_schedule(void)
{
	const int64_t five = 5000000;

	is_int(kgw_retry_schedule_lengthened(five, -1), five, "no wish: the schedule");
	is_int(kgw_retry_schedule_lengthened(five, 0), five, "0, or a date that has passed: the schedule");
	is_int(kgw_retry_schedule_lengthened(five, 1), five, "sooner than the schedule: the schedule");
	is_int(kgw_retry_schedule_lengthened(five, 5), five, "as the schedule has it");
	is_int(kgw_retry_schedule_lengthened(five, 6), 6000000, "later than the schedule: the wish");
	is_int(kgw_retry_schedule_lengthened(five, 86400), INT64_C(86400000000), "a day");
	is_int(kgw_retry_schedule_lengthened(five, INT64_MAX), INT64_C(86400000000), "and no more");
	is_int(kgw_retry_schedule_lengthened(INT64_C(90000000000), 86400), INT64_C(90000000000),
		   "a schedule that is longer than a day stays as it is");
}

int
main(void)
{
	test_parse();
	test_parse_refused();
	test_delay();
	test_retry_after_seconds();
	test_retry_after_dates();
	test_retry_after_calendar();
	test_retry_after_refused();
	test_retry_after_century();
	test_retry_after_clocks();
	test_retry_after_against_schedule();
	return done_testing();
}
