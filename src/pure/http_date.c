/*-------------------------------------------------------------------------
 *
 * http_date.c
 *	  Dates as HTTP writes them (RFC 9110, 5.6.7).
 *
 * All three formats have to be read: IMF-fixdate, which is what is sent today,
 * and the two obsolete ones.  They are read strictly, except for the name of the
 * weekday, which must be one and need not be the date's.
 *
 * strptime and mktime are not used, because they follow the locale and the
 * time zone of a server whose settings are none of ours; libcurl's
 * curl_getdate is not, because it guesses a date out of nearly anything.  The
 * present is an argument (it completes years of two digits), so that this file
 * never asks for the time and every answer can be tested.
 *
 * src/pure/http_date.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/http_date.h"

#include <string.h>

#include "pure/array.h"
#include "pure/text/ascii.h"

/* The last second of the year 9999, the last that an HTTP-date can name. */
#define UNIX_MAX INT64_C(253402300799)

/* Fifty years of 365.25 days. */
#define FIFTY_YEARS_S (18262 * KGW_DAY_S + KGW_DAY_S / 2)

/* A text being read from left to right. */
typedef struct KgwDateScan
{
	const char *at;
	const char *end;
} KgwDateScan;

/* UTC, as an HTTP-date tells it; month and day count from 1. */
typedef struct KgwHttpDate
{
	int			year;
	int			month;
	int			day;
	int			hour;
	int			minute;
	int			second;
} KgwHttpDate;

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
take_literal(KgwDateScan *scan, const char *literal)
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
take_number(KgwDateScan *scan, int digits, int *number)
{
	*number = 0;
	for (; digits > 0; digits--)
	{
		if (scan->at == scan->end || !kgw_ascii_is_digit(*scan->at))
			return false;
		*number = *number * 10 + (*scan->at++ - '0');
	}
	return true;
}

/* One of "n" names; "*which" counts from 1. */
static bool
take_name(KgwDateScan *scan, const char *const *names, int n, int *which)
{
	for (*which = 1; *which <= n; (*which)++)
	{
		if (take_literal(scan, names[*which - 1]))
			return true;
	}
	return false;
}

static bool
take_month(KgwDateScan *scan, int *month)
{
	return take_name(scan, month_names, KGW_LENGTH_OF(month_names), month);
}

/* "08:49:37" */
static bool
take_time(KgwDateScan *scan, KgwHttpDate *date)
{
	return take_number(scan, 2, &date->hour) && take_literal(scan, ":") &&
		take_number(scan, 2, &date->minute) && take_literal(scan, ":") &&
		take_number(scan, 2, &date->second);
}

/* IMF-fixdate: "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool
scan_imf_fixdate(KgwDateScan scan, KgwHttpDate *date)
{
	int			weekday;

	return take_name(&scan, day_names, KGW_LENGTH_OF(day_names), &weekday) &&
		take_literal(&scan, ", ") && take_number(&scan, 2, &date->day) &&
		take_literal(&scan, " ") && take_month(&scan, &date->month) &&
		take_literal(&scan, " ") && take_number(&scan, 4, &date->year) &&
		take_literal(&scan, " ") && take_time(&scan, date) &&
		take_literal(&scan, " GMT") && scan.at == scan.end;
}

/* RFC 850: "Sunday, 06-Nov-94 08:49:37 GMT"; leaves a year of two digits. */
static bool
scan_rfc850(KgwDateScan scan, KgwHttpDate *date)
{
	int			weekday;

	return take_name(&scan, long_day_names, KGW_LENGTH_OF(long_day_names), &weekday) &&
		take_literal(&scan, ", ") && take_number(&scan, 2, &date->day) &&
		take_literal(&scan, "-") && take_month(&scan, &date->month) &&
		take_literal(&scan, "-") && take_number(&scan, 2, &date->year) &&
		take_literal(&scan, " ") && take_time(&scan, date) &&
		take_literal(&scan, " GMT") && scan.at == scan.end;
}

/* asctime: "Sun Nov  6 08:49:37 1994" */
static bool
scan_asctime(KgwDateScan scan, KgwHttpDate *date)
{
	int			weekday;

	return take_name(&scan, day_names, KGW_LENGTH_OF(day_names), &weekday) &&
		take_literal(&scan, " ") && take_month(&scan, &date->month) &&
		take_literal(&scan, " ") &&
		take_number(&scan, take_literal(&scan, " ") ? 1 : 2, &date->day) &&
		take_literal(&scan, " ") && take_time(&scan, date) &&
		take_literal(&scan, " ") && take_number(&scan, 4, &date->year) &&
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
to_unix(const KgwHttpDate *date)
{
	int64_t		days = year_start(date->year) + date->day - 1;
	int			month;

	for (month = 1; month < date->month; month++)
		days += days_in_month(date->year, month);
	return days * KGW_DAY_S + date->hour * 3600 + date->minute * 60 + date->second;
}

static int
year_of(int64_t unix_time)
{
	int			year = 1970 + (int) (unix_time / (366 * KGW_DAY_S));

	while (year_start(year + 1) * KGW_DAY_S <= unix_time)
		year++;
	return year;
}

/*
 * RFC 9110, 5.6.7: two digits that would appear to be more than 50 years in
 * the future mean the most recent year in the past that ends in them.
 */
static void
complete_year(KgwHttpDate *date, int64_t now_unix)
{
	int64_t		latest = now_unix + FIFTY_YEARS_S;
	int			latest_year = year_of(latest);

	date->year = latest_year - (latest_year - date->year) % 100;
	if (to_unix(date) > latest)
		date->year -= 100;
}

/* Whether "date" is on the calendar; 60 is a leap second. */
static bool
is_real(const KgwHttpDate *date)
{
	return date->day >= 1 &&
		date->day <= days_in_month(date->year, date->month) &&
		date->hour <= 23 && date->minute <= 59 && date->second <= 60;
}

/*
 * Parse an HTTP-date of "len" bytes, nothing around it, into seconds of Unix
 * time; false when it is not one.  "now_unix", in seconds, completes years of
 * two digits; a clock before 1970 or after 9999 is broken and is taken for the
 * nearest that is not.
 */
bool
kgw_http_date_parse(const char *text, size_t len, int64_t now_unix,
					int64_t *unix_time)
{
	KgwDateScan scan = {text, text + len};
	KgwHttpDate date;

	if (now_unix < 0 || now_unix > UNIX_MAX)
		now_unix = now_unix < 0 ? 0 : UNIX_MAX;

	if (scan_rfc850(scan, &date))
		complete_year(&date, now_unix);
	else if (!scan_imf_fixdate(scan, &date) && !scan_asctime(scan, &date))
		return false;
	if (!is_real(&date))
		return false;
	*unix_time = to_unix(&date);
	return true;
}
