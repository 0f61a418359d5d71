/*-------------------------------------------------------------------------
 *
 * encoding.c
 *	  Between the server's encoding and the wire's, which is UTF-8.
 *
 * Payloads leave as UTF-8 whatever the database's encoding.  Answers come back
 * as whatever a receiver sends, and have to end up in a text column that every
 * client can read on a terminal: bytes that aren't UTF-8, NUL, and control
 * characters that a terminal would act on are replaced, never dropped
 * silently and never an error.
 *
 * src/pg/encoding.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"

#include "pg/encoding.h"

/* Shown in place of what can't be shown: U+FFFD, or "?" outside of UTF-8. */
#define REPLACEMENT "\xEF\xBF\xBD"

/* Convert from the server's encoding; NULL when some character has no UTF-8 form. */
static char *
convert_to_utf8(const char *text, size_t *len)
{
	int			encoding = GetDatabaseEncoding();
	Oid			convert = FindDefaultConversionProc(encoding, PG_UTF8);
	size_t		room = *len * MAX_CONVERSION_GROWTH + 1;
	char	   *wire;

	if (!OidIsValid(convert))
		return NULL;
	wire = palloc(room);
	if (pg_do_encoding_conversion_buf(convert, encoding, PG_UTF8,
									  (unsigned char *) unconstify(char *, text), *len,
									  (unsigned char *) wire, room, true) != (int) *len)
		return NULL;
	*len = strlen(wire);
	return wire;
}

/*
 * The UTF-8 form of "*len" bytes of text in the server's encoding; *len becomes
 * its length.  The input itself when nothing has to be done, palloc'd
 * otherwise; NULL when there is no such form.  Needs a transaction unless the
 * database is in UTF-8.
 */
const char *
kgw_encoding_to_wire(const char *text, size_t *len)
{
	if (GetDatabaseEncoding() == PG_UTF8)
		return text;
	if (GetDatabaseEncoding() == PG_SQL_ASCII)
		return pg_verify_mbstr(PG_UTF8, text, *len, true) ? text : NULL;
	return convert_to_utf8(text, len);
}

/*
 * Text in the server's encoding from UTF-8 of our own making.  The input itself
 * when nothing has to be done, palloc'd otherwise.  Raises an error for
 * characters that the server's encoding lacks.
 */
char *
kgw_encoding_to_server(const char *utf8, size_t len)
{
	if (GetDatabaseEncoding() == PG_SQL_ASCII || GetDatabaseEncoding() == PG_UTF8)
		return unconstify(char *, utf8);
	return pg_any_to_server(utf8, len, PG_UTF8);
}

static bool
is_harmless(unsigned char c)
{
	return (c >= 0x20 && c != 0x7f) || c == '\t' || c == '\n' || c == '\r';
}

/* Length of the valid, harmless character at s, or 0. */
static int
character_length(const char *s, size_t len)
{
	unsigned char c = (unsigned char) *s;
	int			n;

	if (c < 0x80)
		return is_harmless(c) ? 1 : 0;
	n = pg_utf_mblen((const unsigned char *) s);
	if ((size_t) n > len || !pg_utf8_islegal((const unsigned char *) s, n))
		return 0;
	/* C1 control characters, which some terminals obey */
	if (n == 2 && c == 0xC2 && (unsigned char) s[1] < 0xA0)
		return 0;
	return n;
}

/*
 * Text in the server's encoding from "len" untrusted bytes.  Palloc'd;
 * at most three times as long as the input.  Outside of UTF-8 only ASCII is
 * shown.
 */
char *
kgw_encoding_from_wire(const char *bytes, size_t len)
{
	char	   *text = palloc(len * 3 + 1);
	size_t		at = 0;
	bool		utf8 = GetDatabaseEncoding() == PG_UTF8;

	for (size_t i = 0; i < len;)
	{
		int			n = character_length(bytes + i, len - i);

		if (n == 1 || (n > 1 && utf8))
		{
			memcpy(text + at, bytes + i, n);
			at += n;
		}
		else if (utf8)
		{
			memcpy(text + at, REPLACEMENT, strlen(REPLACEMENT));
			at += strlen(REPLACEMENT);
		}
		else
			text[at++] = '?';
		i += Max(n, 1);
	}
	text[at] = '\0';
	return text;
}
