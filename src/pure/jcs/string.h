/*-------------------------------------------------------------------------
 *
 * string.h
 *	  Strings: UTF-8, escapes.
 *
 * src/pure/jcs/string.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_JCS_STRING_H
#define KGW_PURE_JCS_STRING_H

#include "pure/jcs/workspace.h"

/*
 * Reads a string, c->p being at its opening quote, into the draft.  *plain
 * tells whether its UTF-16 order is that of its canonical bytes.
 */
extern KgwJcsStatus kgw_jcs_string(KgwJcs *c, bool *plain);

/* Skips printable ASCII and U+007F, except quotes and backslashes. */
extern const char *kgw_jcs_string_skip_plain(const char *p, const char *end);

/* Writes what canonical text has for an ASCII character in a string: at most 6 bytes; returns how many. */
extern int	kgw_jcs_string_escape(char *out, unsigned char ch);

/* Takes one unescaped byte from a canonical string that has more. */
extern unsigned char kgw_jcs_string_next_byte(const char **p);

#endif							/* KGW_PURE_JCS_STRING_H */
