/*-------------------------------------------------------------------------
 *
 * src/pure/retry.c
 *	  When to try a delivery again: our schedule, and the receiver's wish.
 *
 * The schedule is a list of delays and not a formula, because that is what an
 * administrator has to promise to merchants: "we try for three days, like
 * this".  Chance and the clock are arguments, so that every answer can be
 * tested; this file must never ask for either itself.
 *
 * Jitter is applied to both sides of the delay, or deliveries that failed
 * together in an outage would come back together, on the second, every time.
 *
 * Retry-After is read here and not by libcurl, which would follow the locale
 * and takes dates that RFC 9110 doesn't know.  A receiver may slow us down but
 * not send us away for good: the wait is capped.  What can't be read counts as
 * absent, since our own schedule is a fine answer then.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/retry.h"

#include <stdio.h>
#include <string.h>

#include "pure/items.h"

#define COUNT(array) ((int) (sizeof(array) / sizeof((array)[0])))

#define SECOND_US INT64_C(1000000)
#define DAY_S INT64_C(86400)
#define DELAY_MAX_US (30 * DAY_S * SECOND_US)

/* More digits than these are no delay that anybody means. */
#define DELAY_DIGITS_MAX 15

/* The last second of the year 9999, the last that an HTTP-date can name. */
#define UNIX_MAX INT64_C(253402300799)

/* Fifty years of 365.25 days. */
#define FIFTY_YEARS_S (18262 * DAY_S + DAY_S / 2)

/* PostgreSQL's units of time, spelled as in its settings. */
static const struct
{
	const char *name;
	int64_t		us;
}			units[] = {
	{"us", 1},
	{"ms", 1000},
	{"s", SECOND_US},
	{"min", 60 * SECOND_US},
	{"h", 3600 * SECOND_US},
	{"d", DAY_S * SECOND_US},
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/*
 * One delay such as "90s" or "1.5 h", in microseconds; -1 when it is not one.
 * Its digits are gathered as an integer: strtod would follow the locale.
 */
static double
parse_delay(const char *item, size_t len)
{
	int64_t		digits = 0;
	double		divisor = 1;
	int			n = 0;
	bool		fraction = false;
	size_t		i;
	int			unit;

	for (i = 0; i < len; i++)
	{
		if (item[i] == '.' && !fraction && n > 0 &&
			i + 1 < len && is_digit(item[i + 1]))
			fraction = true;
		else if (is_digit(item[i]) && n++ < DELAY_DIGITS_MAX)
		{
			digits = digits * 10 + (item[i] - '0');
			if (fraction)
				divisor *= 10;
		}
		else
			break;
	}
	while (n > 0 && i < len && kgw_item_blank(item[i]))
		i++;
	for (unit = 0; n > 0 && unit < COUNT(units); unit++)
	{
		if (strlen(units[unit].name) == len - i &&
			memcmp(units[unit].name, item + i, len - i) == 0)
			return (double) digits * (double) units[unit].us / divisor;
	}
	return -1;
}

/*
 * Parse a schedule such as "5s,30s,2min" from a NUL-terminated text: at most
 * KGW_SCHEDULE_MAX delays, each more than 0 and at most 30 days; "" is no
 * retry at all.  On false, "problem" (of "problem_size" bytes) holds a
 * sentence that says why, and "out" is not to be used.
 */
bool
kgw_schedule_parse(const char *text, KgwSchedule *out,
				   char *problem, size_t problem_size)
{
	const char *rest = kgw_items_begin(text);
	const char *item;
	size_t		len;

	memset(out, 0, sizeof(*out));
	while (kgw_items_next(&rest, &item, &len))
	{
		char		shown[KGW_ITEM_SHOWN_SIZE];
		double		us = parse_delay(item, len) + 0.5;

		if (out->n == KGW_SCHEDULE_MAX)
		{
			snprintf(problem, problem_size,
					 "There are more than %d delays.", KGW_SCHEDULE_MAX);
			return false;
		}
		if (us < 0)
		{
			snprintf(problem, problem_size,
					 "\"%s\" is not a number with a unit of us, ms, s, min, h or d.",
					 kgw_item_show(shown, item, len));
			return false;
		}
		if (us < 1 || us >= DELAY_MAX_US + 1)
		{
			snprintf(problem, problem_size,
					 "\"%s\" is not more than 0 and at most 30 days.",
					 kgw_item_show(shown, item, len));
			return false;
		}
		out->delay_us[out->n++] = (int64_t) us;
	}
	return true;
}

/* "x" held within 0 and 1, and not a number taken for 0. */
static double
share(double x)
{
	if (!(x > 0))
		return 0;
	return x < 1 ? x : 1;
}

/*
 * Microseconds from now until the next attempt, after "attempts_made" (from 1)
 * have failed; -1 when there is no next one.  "jitter" is the share of the
 * delay (0 to 1) by which "random" (0 <= random < 1) shortens or lengthens it.
 */
int64_t
kgw_schedule_delay(const KgwSchedule *schedule, int attempts_made,
				   double jitter, double random)
{
	double		factor;

	if (attempts_made < 1)
		attempts_made = 1;
	if (attempts_made > schedule->n)
		return -1;
	factor = 1 - share(jitter) + 2 * share(jitter) * share(random);
	return (int64_t) ((double) schedule->delay_us[attempts_made - 1] * factor + 0.5);
}

/* All delays together, without jitter, microseconds. */
int64_t
kgw_schedule_span(const KgwSchedule *schedule)
{
	int64_t		sum = 0;
	int			i;

	for (i = 0; i < schedule->n; i++)
		sum += schedule->delay_us[i];
	return sum;
}

/* A text being read from left to right. */
typedef struct Scan
{
	const char *at;
	const char *end;
} Scan;

/* UTC, as an HTTP-date tells it; month and day count from 1. */
typedef struct Date
{
	int			year;
	int			month;
	int			day;
	int			hour;
	int			minute;
	int			second;
} Date;

static const char *const day_names[] = {
	"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"
};

static const char *const long_day_names[] = {
	"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
	"Sunday"
};

static const char *const month_names[] = {
	"Jan", "Feb", "Mar", "Apr", "May", "Jun",
	"Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
};

static bool
take(Scan *scan, const char *literal)
{
	size_t		len = strlen(literal);

	if ((size_t) (scan->end - scan->at) < len ||
		memcmp(scan->at, literal, len) != 0)
		return false;
	scan->at += len;
	return true;
}

/* Exactly "digits" digits. */
static bool
take_number(Scan *scan, int digits, int *number)
{
	*number = 0;
	for (; digits > 0; digits--)
	{
		if (scan->at == scan->end || !is_digit(*scan->at))
			return false;
		*number = *number * 10 + (*scan->at++ - '0');
	}
	return true;
}

/* One of "n" names; "*which" counts from 1. */
static bool
take_name(Scan *scan, const char *const *names, int n, int *which)
{
	for (*which = 1; *which <= n; (*which)++)
	{
		if (take(scan, names[*which - 1]))
			return true;
	}
	return false;
}

static bool
take_month(Scan *scan, int *month)
{
	return take_name(scan, month_names, COUNT(month_names), month);
}

/* "08:49:37" */
static bool
take_time(Scan *scan, Date *date)
{
	return take_number(scan, 2, &date->hour) && take(scan, ":") &&
		take_number(scan, 2, &date->minute) && take(scan, ":") &&
		take_number(scan, 2, &date->second);
}

/* IMF-fixdate: "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool
scan_imf_fixdate(Scan scan, Date *date)
{
	int			weekday;

	return take_name(&scan, day_names, COUNT(day_names), &weekday) &&
		take(&scan, ", ") && take_number(&scan, 2, &date->day) &&
		take(&scan, " ") && take_month(&scan, &date->month) &&
		take(&scan, " ") && take_number(&scan, 4, &date->year) &&
		take(&scan, " ") && take_time(&scan, date) &&
		take(&scan, " GMT") && scan.at == scan.end;
}

/* RFC 850: "Sunday, 06-Nov-94 08:49:37 GMT"; leaves a year of two digits. */
static bool
scan_rfc850(Scan scan, Date *date)
{
	int			weekday;

	return take_name(&scan, long_day_names, COUNT(long_day_names), &weekday) &&
		take(&scan, ", ") && take_number(&scan, 2, &date->day) &&
		take(&scan, "-") && take_month(&scan, &date->month) &&
		take(&scan, "-") && take_number(&scan, 2, &date->year) &&
		take(&scan, " ") && take_time(&scan, date) &&
		take(&scan, " GMT") && scan.at == scan.end;
}

/* asctime: "Sun Nov  6 08:49:37 1994" */
static bool
scan_asctime(Scan scan, Date *date)
{
	int			weekday;

	return take_name(&scan, day_names, COUNT(day_names), &weekday) &&
		take(&scan, " ") && take_month(&scan, &date->month) &&
		take(&scan, " ") &&
		take_number(&scan, take(&scan, " ") ? 1 : 2, &date->day) &&
		take(&scan, " ") && take_time(&scan, date) &&
		take(&scan, " ") && take_number(&scan, 4, &date->year) &&
		scan.at == scan.end;
}

static int
days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool		leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* The Gregorian day that begins a year, counted from 1970-01-01. */
static int64_t
year_start(int year)
{
	int			past = year + 399;	/* full years since -0399, all positive */

	return (int64_t) past * 365 + past / 4 - past / 100 + past / 400 - 865259;
}

/* Also defined for hours, days and so on beyond the calendar's. */
static int64_t
to_unix(const Date *date)
{
	int64_t		days = year_start(date->year) + date->day - 1;
	int			month;

	for (month = 1; month < date->month; month++)
		days += days_in_month(date->year, month);
	return days * DAY_S + date->hour * 3600 + date->minute * 60 + date->second;
}

static int
year_of(int64_t unix_time)
{
	int			year = 1970 + (int) (unix_time / (366 * DAY_S));

	while (year_start(year + 1) * DAY_S <= unix_time)
		year++;
	return year;
}

/*
 * RFC 9110, 5.6.7: two digits that would appear to be more than 50 years in
 * the future mean the most recent year in the past that ends in them.
 */
static void
complete_year(Date *date, int64_t now_unix)
{
	int64_t		latest = now_unix + FIFTY_YEARS_S;
	int			latest_year = year_of(latest);

	date->year = latest_year - (latest_year - date->year) % 100;
	if (to_unix(date) > latest)
		date->year -= 100;
}

/* Whether "date" is on the calendar; 60 is a leap second. */
static bool
is_real(const Date *date)
{
	return date->day >= 1 &&
		date->day <= days_in_month(date->year, date->month) &&
		date->hour <= 23 && date->minute <= 59 && date->second <= 60;
}

static bool
parse_http_date(Scan scan, int64_t now_unix, int64_t *unix_time)
{
	Date		date;

	if (scan_rfc850(scan, &date))
		complete_year(&date, now_unix);
	else if (!scan_imf_fixdate(scan, &date) && !scan_asctime(scan, &date))
		return false;
	if (!is_real(&date))
		return false;
	*unix_time = to_unix(&date);
	return true;
}

/* Digits only, however many; what exceeds the cap is the cap. */
static bool
parse_seconds(Scan scan, int64_t *seconds)
{
	*seconds = 0;
	if (scan.at == scan.end)
		return false;
	for (; scan.at < scan.end; scan.at++)
	{
		if (!is_digit(*scan.at))
			return false;
		*seconds = *seconds * 10 + (*scan.at - '0');
		if (*seconds > KGW_RETRY_AFTER_CAP)
			*seconds = KGW_RETRY_AFTER_CAP;
	}
	return true;
}

/*
 * Seconds to wait as a Retry-After field asks (RFC 9110, 10.2.3), 0 to
 * KGW_RETRY_AFTER_CAP; -1 when "value" (of "len" bytes, without its CRLF) is
 * neither a number of seconds nor an HTTP-date.  The name of the weekday has
 * to be one, but not the right one.  "now_unix" is in seconds.
 */
int64_t
kgw_retry_after(const char *value, size_t len, int64_t now_unix)
{
	Scan		scan = {value, value + len};
	int64_t		seconds;
	int64_t		until;

	while (scan.at < scan.end && (*scan.at == ' ' || *scan.at == '\t'))
		scan.at++;
	while (scan.end > scan.at && (scan.end[-1] == ' ' || scan.end[-1] == '\t'))
		scan.end--;

	if (parse_seconds(scan, &seconds))
		return seconds;

	/* a clock outside these would overflow below, and is broken anyway */
	if (now_unix < 0 || now_unix > UNIX_MAX)
		now_unix = now_unix < 0 ? 0 : UNIX_MAX;
	if (!parse_http_date(scan, now_unix, &until))
		return -1;
	if (until <= now_unix)
		return 0;
	return until - now_unix < KGW_RETRY_AFTER_CAP ?
		until - now_unix : KGW_RETRY_AFTER_CAP;
}
