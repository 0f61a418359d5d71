/*-------------------------------------------------------------------------
 *
 * retry_schedule.c
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
 * A receiver may slow us down through Retry-After but not send us away for
 * good: the wait is capped.  Nor can it hurry us: "0", or a date that a clock
 * which is behind has made a past one, would use the whole schedule up within a
 * second, and the delivery be given up that was to be tried for days.  What
 * can't be read counts as absent, since our own schedule is a fine answer then.
 *
 * src/pure/retry_schedule.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/retry_schedule.h"

#include <stdio.h>
#include <string.h>

#include "pure/array.h"
#include "pure/text/ascii.h"
#include "pure/http_date.h"
#include "pure/text/list_setting.h"

#define SECOND_US INT64_C(1000000)
#define DELAY_MAX_US (30 * KGW_DAY_S * SECOND_US)

/* More digits than these are no delay that anyone means. */
#define DELAY_DIGITS_MAX 15

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
	{"d", KGW_DAY_S * SECOND_US},
};

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
			i + 1 < len && kgw_ascii_is_digit(item[i + 1]))
			fraction = true;
		else if (kgw_ascii_is_digit(item[i]) && n++ < DELAY_DIGITS_MAX)
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
	for (unit = 0; n > 0 && unit < KGW_LENGTH_OF(units); unit++)
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
kgw_retry_schedule_parse(const char *text, KgwSchedule *out,
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
kgw_retry_schedule_delay(const KgwSchedule *schedule, int attempts_made,
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
kgw_retry_schedule_span(const KgwSchedule *schedule)
{
	int64_t		sum = 0;
	int			i;

	for (i = 0; i < schedule->n; i++)
		sum += schedule->delay_us[i];
	return sum;
}

/* Digits only, however many; what exceeds the cap is the cap. */
static bool
parse_seconds(const char *text, size_t len, int64_t *seconds)
{
	size_t		i;

	*seconds = 0;
	for (i = 0; i < len; i++)
	{
		if (!kgw_ascii_is_digit(text[i]))
			return false;
		*seconds = *seconds * 10 + (text[i] - '0');
		if (*seconds > KGW_RETRY_AFTER_CAP)
			*seconds = KGW_RETRY_AFTER_CAP;
	}
	return len > 0;
}

/*
 * Seconds to wait as a Retry-After field asks (RFC 9110, 10.2.3), 0 to
 * KGW_RETRY_AFTER_CAP; -1 when "value" (of "len" bytes, without its CRLF) is
 * neither a number of seconds nor an HTTP-date.  The name of the weekday has
 * to be one, but not the right one.  "now_unix" is in seconds.
 */
int64_t
kgw_retry_schedule_parse_after(const char *value, size_t len, int64_t now_unix)
{
	const char *end = value + len;
	int64_t		seconds;
	int64_t		until;

	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	len = (size_t) (end - value);

	if (parse_seconds(value, len, &seconds))
		return seconds;
	if (!kgw_http_date_parse(value, len, now_unix, &until))
		return -1;
	if (until <= now_unix)
		return 0;
	return until < now_unix + KGW_RETRY_AFTER_CAP ?
		until - now_unix : KGW_RETRY_AFTER_CAP;
}

/*
 * Microseconds from now until the next attempt, when the schedule has it after
 * "scheduled_us" and the receiver asked for "retry_after" seconds (-1: it didn't):
 * the later of the two.
 */
int64_t
kgw_retry_schedule_lengthened(int64_t scheduled_us, int64_t retry_after)
{
	int64_t		wished_us;

	if (retry_after > KGW_RETRY_AFTER_CAP)
		retry_after = KGW_RETRY_AFTER_CAP;
	wished_us = retry_after * SECOND_US;
	return wished_us > scheduled_us ? wished_us : scheduled_us;
}
