/*-------------------------------------------------------------------------
 *
 * http_header.c
 *	  One header line of an answer (RFC 9112, section 5).
 *
 * The line is untrusted, and what is taken from it steers when we call
 * again.  So it is either a plain field of that very name, with a value of
 * visible ASCII, blanks and tabs that fits, or it is nothing: no part of a
 * value that is too long or that holds a NUL is ever taken for the whole.
 * This file must never keep a pointer into the line.
 *
 * src/pure/http_header.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/http_header.h"

#include <string.h>

#include "pure/text/ascii.h"

/* Whether the line begins with the name, in any case, and a colon. */
static bool
has_name(const char *line, size_t len, const char *name)
{
	size_t		name_len = strlen(name);
	size_t		i;

	if (len <= name_len || line[name_len] != ':')
		return false;
	for (i = 0; i < name_len; i++)
	{
		if (kgw_ascii_to_lower(line[i]) != name[i])
			return false;
	}
	return true;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/*
 * The value of a header line, without the blanks around it, if the line is of
 * that name (given in lower case, without the colon).  "len" may count the
 * line's end.  True when "out", of "room" bytes, has the value, NUL-terminated;
 * else it is left alone.
 */
bool
kgw_http_header_value(const char *line, size_t len, const char *name,
				 char *out, size_t room)
{
	const char *value;
	size_t		i;

	if (!has_name(line, len, name))
		return false;
	value = line + strlen(name) + 1;
	len -= strlen(name) + 1;
	if (len > 0 && value[len - 1] == '\n')
		len--;
	if (len > 0 && value[len - 1] == '\r')
		len--;
	while (len > 0 && is_blank(*value))
	{
		value++;
		len--;
	}
	while (len > 0 && is_blank(value[len - 1]))
		len--;

	if (len >= room)
		return false;
	for (i = 0; i < len; i++)
	{
		if (!is_blank(value[i]) && (value[i] <= ' ' || value[i] > '~'))
			return false;
	}
	memcpy(out, value, len);
	out[len] = '\0';
	return true;
}
