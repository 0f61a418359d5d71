/*-------------------------------------------------------------------------
 *
 * html.c
 *	  Text, numbers and times as HTML.
 *
 * Everything that may come from a third party reaches a page through
 * kgw_html_text(), and only as the content of an element: never within a tag,
 * a style or a script.  What comes out is ASCII, so it means the same whatever
 * the encoding of the database, of the client and of the file that it ends up
 * in; it is cut off after so many characters; and it holds nothing that would
 * make text look like other text: control characters, and those that turn the
 * direction of writing or have no width, are shown as U+FFFD.
 *
 * Times are UTC, for a page is read elsewhere than it was made.
 *
 * src/dashboard/html.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/timestamp.h"

#include "dashboard/html.h"
#include "pg/encoding.h"

#define REPLACEMENT 0xFFFD

/* Characters that show other text than there is. */
static bool
is_deceptive(pg_wchar c)
{
	return (c >= 0x7F && c < 0xA0) ||
		c == 0x00AD || c == 0x061C || c == 0x180E ||
		c == 0x200B || c == 0x200E || c == 0x200F ||
		(c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) ||
		c == 0xFEFF || (c >= 0xFFF0 && c < 0xFFFD) ||
		(c >= 0xE0000 && c < 0xE1000) || (c & 0xFFFE) == 0xFFFE;
}

static void
append_character(StringInfo out, pg_wchar c)
{
	switch (c)
	{
		case '<':
			appendStringInfoString(out, "&lt;");
			break;
		case '>':
			appendStringInfoString(out, "&gt;");
			break;
		case '&':
			appendStringInfoString(out, "&amp;");
			break;
		case '"':
			appendStringInfoString(out, "&quot;");
			break;
		case '\'':
			appendStringInfoString(out, "&#39;");
			break;
		case '\t':
		case '\n':
		case '\r':
			appendStringInfoChar(out, ' ');
			break;
		default:
			if (c < 0x20 || is_deceptive(c))
				c = REPLACEMENT;
			if (c < 0x7F)
				appendStringInfoChar(out, (char) c);
			else
				appendStringInfo(out, "&#x%X;", c);
	}
}

/* The character at s, of at most len bytes; *n becomes its length. */
static pg_wchar
character_at(const char *s, size_t len, bool utf8, int *n)
{
	*n = 1;
	if ((unsigned char) *s < 0x80)
		return (unsigned char) *s;
	if (!utf8)
		return REPLACEMENT;
	*n = pg_utf_mblen((const unsigned char *) s);
	if ((size_t) *n > len || !pg_utf8_islegal((const unsigned char *) s, *n))
	{
		*n = 1;
		return REPLACEMENT;
	}
	return utf8_to_unicode((const unsigned char *) s);
}

/*
 * Text in the server's encoding, of anyone's making, as the content of an
 * element; no more than "max" characters of it.  NULL is nothing.
 */
void
kgw_html_text(StringInfo out, const char *text, int max)
{
	size_t		len = text == NULL ? 0 : strlen(text);
	const char *wire = len == 0 ? NULL : kgw_encoding_to_wire(text, &len);
	const char *s = wire == NULL ? text : wire;
	int			n;

	for (size_t at = 0; at < len; at += n)
	{
		pg_wchar	c = character_at(s + at, len - at, wire != NULL, &n);

		if (max-- == 0)
		{
			appendStringInfoString(out, "&hellip;");
			return;
		}
		append_character(out, c);
	}
}

/* A number as numeric's output has it, the thousands of its whole part apart. */
void
kgw_html_number(StringInfo out, const char *number)
{
	size_t		sign = *number == '-' ? 1 : 0;
	size_t		whole = sign + strspn(number + sign, "0123456789");

	for (size_t i = 0; i < whole; i++)
	{
		if (i > sign && (whole - i) % 3 == 0)
			appendStringInfoChar(out, ',');
		appendStringInfoChar(out, number[i]);
	}
	kgw_html_text(out, number + whole, 12);
}

void
kgw_html_count(StringInfo out, int64 count)
{
	char		digits[32];

	snprintf(digits, sizeof(digits), INT64_FORMAT, count);
	kgw_html_number(out, digits);
}

/* A span of time in the one or two units that people would use. */
void
kgw_html_span(StringInfo out, int64 microseconds)
{
	int64		seconds = Max(microseconds, 0) / USECS_PER_SEC;

	if (seconds < 90)
		appendStringInfo(out, "%d s", (int) seconds);
	else if (seconds < 90 * SECS_PER_MINUTE)
		appendStringInfo(out, "%d min", (int) (seconds / SECS_PER_MINUTE));
	else if (seconds < 2 * SECS_PER_DAY)
		appendStringInfo(out, "%d h %d min", (int) (seconds / SECS_PER_HOUR),
						 (int) (seconds % SECS_PER_HOUR / SECS_PER_MINUTE));
	else
	{
		kgw_html_count(out, seconds / SECS_PER_DAY);
		appendStringInfoString(out, " days");
	}
}

/* Hours and minutes, UTC. */
void
kgw_html_clock(StringInfo out, TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) == 0)
		appendStringInfo(out, "%02d:%02d", tm.tm_hour, tm.tm_min);
}

/*
 * A moment, UTC, for people and for machines; without its date for people who
 * read on the same day, as "now" has it.
 */
void
kgw_html_time(StringInfo out, TimestampTz at, TimestampTz now)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (TIMESTAMP_NOT_FINITE(at) || timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		return;
	appendStringInfo(out, "<time datetime=\"%04d-%02d-%02dT%02d:%02d:%02dZ\">",
					 tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
	if (at / USECS_PER_DAY != now / USECS_PER_DAY)
		appendStringInfo(out, "%04d-%02d-%02d ", tm.tm_year, tm.tm_mon, tm.tm_mday);
	appendStringInfo(out, "%02d:%02d:%02d</time>", tm.tm_hour, tm.tm_min, tm.tm_sec);
}
