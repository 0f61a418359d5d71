/*-------------------------------------------------------------------------
 *
 * string.c
 *	  Strings of canonical JSON (RFC 8785 section 3.2.2.2).
 *
 * A string is read and written in one go.  Most of it is plain ASCII, which
 * is found eight bytes at a time and copied; the rest is judged byte by byte.
 * Canonical text has one escape per character that needs one, so a string
 * never gets longer than it came, and what this file writes it can also take
 * apart again without checking (kgw_jcs_string_next_byte).
 *
 * Half a surrogate pair and bytes that are not UTF-8 are refused.  Receivers
 * replace them by U+FFFD, or don't, and then sign something else.
 *
 * src/pure/jcs/string.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/jcs/draft.h"
#include "pure/jcs/error.h"
#include "pure/jcs/string.h"

#define EACH_BYTE(b) (UINT64_C(0x0101010101010101) * (b))

/* Does a word hold a byte of zero?  (Bit twiddling as in hacker's lore.) */
static inline uint64_t
zero_byte(uint64_t w)
{
	return (w - EACH_BYTE(1)) & ~w & EACH_BYTE(0x80);
}

const char *
kgw_jcs_string_skip_plain(const char *p, const char *end)
{
	while (end - p >= 8)
	{
		uint64_t	w;

		memcpy(&w, p, 8);
		if ((w | (w - EACH_BYTE(0x20))) & EACH_BYTE(0x80) ||
			zero_byte(w ^ EACH_BYTE('"')) || zero_byte(w ^ EACH_BYTE('\\')))
			break;
		p += 8;
	}
	while (p < end && (unsigned char) *p >= 0x20 &&
		   (unsigned char) *p < 0x80 && *p != '"' && *p != '\\')
		p++;
	return p;
}

/*
 * Length of the UTF-8 sequence at p, which does not begin with ASCII; 0 when
 * it is none (RFC 3629 section 4: no overlong forms, surrogates or beyond
 * U+10FFFF).
 */
static int
utf8_length(const char *p, const char *end)
{
	unsigned char lead = p[0];
	unsigned char second;
	int			n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
	int			i;

	if (lead < 0xc2 || lead > 0xf4 || end - p < n)
		return 0;
	for (i = 1; i < n; i++)
	{
		if (((unsigned char) p[i] & 0xc0) != 0x80)
			return 0;
	}
	second = p[1];
	if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
		(lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f))
		return 0;
	return n;
}

/* Writes a code point beyond ASCII as UTF-8; returns the length. */
static int
utf8_encode(char *out, uint32_t u)
{
	if (u < 0x800)
	{
		out[0] = (char) (0xc0 | u >> 6);
		out[1] = (char) (0x80 | (u & 0x3f));
		return 2;
	}
	if (u < 0x10000)
	{
		out[0] = (char) (0xe0 | u >> 12);
		out[1] = (char) (0x80 | (u >> 6 & 0x3f));
		out[2] = (char) (0x80 | (u & 0x3f));
		return 3;
	}
	out[0] = (char) (0xf0 | u >> 18);
	out[1] = (char) (0x80 | (u >> 12 & 0x3f));
	out[2] = (char) (0x80 | (u >> 6 & 0x3f));
	out[3] = (char) (0x80 | (u & 0x3f));
	return 4;
}

int
kgw_jcs_string_escape(char *out, unsigned char ch)
{
	static const char letters[] = "\"\"\\\\\bb\tt\nn\ff\rr";
	static const char hex[] = "0123456789abcdef";
	const char *l;

	for (l = letters; *l != '\0'; l += 2)
	{
		if ((unsigned char) *l == ch)
		{
			out[0] = '\\';
			out[1] = l[1];
			return 2;
		}
	}
	if (ch >= 0x20)
	{
		out[0] = (char) ch;
		return 1;
	}
	memcpy(out, "\\u00", 4);
	out[4] = hex[ch >> 4];
	out[5] = hex[ch & 15];
	return 6;
}

/* Appends a code point that came as an escape. */
static KgwJcsStatus
put_code_point(KgwJcs *c, uint32_t u, bool *plain)
{
	char		out[8];
	int			n;

	n = u < 0x80 ? kgw_jcs_string_escape(out, u) : utf8_encode(out, u);
	/* The lead bytes 0xEE and up are those of U+E000 and up. */
	if (out[0] == '\\' || u >= 0xe000)
		*plain = false;
	return kgw_jcs_draft_put(c, out, n);
}

/* The code unit of \uXXXX at p; -1 when there is none. */
static int
hex_unit(const char *p, const char *end)
{
	int			unit = 0;
	int			i;

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return -1;
	for (i = 2; i < 6; i++)
	{
		char		ch = p[i];

		if (ch >= '0' && ch <= '9')
			unit = unit * 16 + ch - '0';
		else if (ch >= 'a' && ch <= 'f')
			unit = unit * 16 + ch - 'a' + 10;
		else if (ch >= 'A' && ch <= 'F')
			unit = unit * 16 + ch - 'A' + 10;
		else
			return -1;
	}
	return unit;
}

/* Reads \uXXXX, or two of them that make a surrogate pair. */
static KgwJcsStatus
unicode_escape(KgwJcs *c, bool *plain)
{
	int			unit = hex_unit(c->p, c->end);
	int			low;

	if (unit < 0)
		return kgw_jcs_error_malformed(c, "bad \\u escape");
	if (unit < 0xd800 || unit > 0xdfff)
	{
		c->p += 6;
		return put_code_point(c, unit, plain);
	}
	low = hex_unit(c->p + 6, c->end);
	if (unit > 0xdbff || low < 0xdc00 || low > 0xdfff)
		return kgw_jcs_error_bad_unicode(c, "half a surrogate pair");
	c->p += 12;
	return put_code_point(c, 0x10000 + ((unit - 0xd800) << 10) + low - 0xdc00,
						  plain);
}

/* Reads an escape. */
static KgwJcsStatus
escape(KgwJcs *c, bool *plain)
{
	static const char letters[] = "\"\\/bfnrt";
	static const char meanings[] = "\"\\/\b\f\n\r\t";
	const char *l;

	if (c->end - c->p < 2)
		return kgw_jcs_error_malformed(c, "string without an end");
	if (c->p[1] == 'u')
		return unicode_escape(c, plain);
	l = memchr(letters, c->p[1], sizeof(letters) - 1);
	if (l == NULL)
		return kgw_jcs_error_malformed(c, "bad escape");
	c->p += 2;
	return put_code_point(c, meanings[l - letters], plain);
}

/* Reads one character beyond ASCII. */
static KgwJcsStatus
raw_character(KgwJcs *c, bool *plain)
{
	int			n = utf8_length(c->p, c->end);

	if (n == 0)
		return kgw_jcs_error_bad_unicode(c, "invalid UTF-8");
	if ((unsigned char) *c->p >= 0xee)
		*plain = false;
	c->p += n;
	return kgw_jcs_draft_put(c, c->p - n, n);
}

KgwJcsStatus
kgw_jcs_string(KgwJcs *c, bool *plain)
{
	KgwJcsStatus status;
	const char *run = c->p;		/* from the opening quote on */

	*plain = true;
	c->p++;
	for (;;)
	{
		c->p = kgw_jcs_string_skip_plain(c->p, c->end);
		if (c->p == c->end)
			return kgw_jcs_error_malformed(c, "string without an end");
		if (*c->p == '"')
		{
			c->p++;
			return kgw_jcs_draft_put(c, run, c->p - run);
		}
		status = kgw_jcs_draft_put(c, run, c->p - run);
		if (status != KGW_CANONICAL_OK)
			return status;
		if (*c->p == '\\')
			status = escape(c, plain);
		else if ((unsigned char) *c->p >= 0x80)
			status = raw_character(c, plain);
		else
			status = kgw_jcs_error_malformed(c, "control character in a string");
		if (status != KGW_CANONICAL_OK)
			return status;
		run = c->p;
	}
}

unsigned char
kgw_jcs_string_next_byte(const char **p)
{
	const char *s = *p;

	if (s[0] != '\\')
	{
		*p = s + 1;
		return (unsigned char) s[0];
	}
	if (s[1] == 'u')
	{
		*p = s + 6;
		return (unsigned char) ((s[4] - '0') * 16 +
								(s[5] <= '9' ? s[5] - '0' : s[5] - 'a' + 10));
	}
	*p = s + 2;
	switch (s[1])
	{
		case 'b':
			return '\b';
		case 'f':
			return '\f';
		case 'n':
			return '\n';
		case 'r':
			return '\r';
		case 't':
			return '\t';
		default:
			return (unsigned char) s[1];
	}
}
