/*-------------------------------------------------------------------------
 *
 * ascii.h
 *	  Digits and letters of ASCII, whatever the locale is.
 *
 * isdigit() and tolower() ask the locale, and are undefined for a negative char;
 * URLs, headers and settings are ASCII by their own standards.
 *
 * src/pure/text/ascii.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_TEXT_ASCII_H
#define KGW_PURE_TEXT_ASCII_H

#include <stdbool.h>

static inline bool
kgw_ascii_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline char
kgw_ascii_to_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

#endif							/* KGW_PURE_TEXT_ASCII_H */
