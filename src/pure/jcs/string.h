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

/* Takes one unescaped byte from a canonical string that has more. */
extern unsigned char kgw_jcs_string_next_byte(const char **p);

#endif							/* KGW_PURE_JCS_STRING_H */
