/*-------------------------------------------------------------------------
 *
 * number.h
 *	  Numbers in canonical JSON (RFC 8785 section 3.2.2.3).
 *
 * See number.c for why PostgreSQL's own shortest-decimal code is not used.
 *
 * src/pure/jcs/number.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_JCS_NUMBER_H
#define KGW_PURE_JCS_NUMBER_H

#include <stddef.h>

/* Longest is -0.0000012345678901234567, 25 bytes and the NUL. */
#define KGW_NUMBER_SIZE 32

/*
 * Writes a finite double as ECMAScript's Number::toString does (ECMA-262
 * section 6.1.6.1.20, radix 10); minus zero becomes "0".  Returns the length
 * without the terminating NUL.  NaN and infinities must not be passed.
 */
extern int	kgw_jcs_number_format(double value, char out[KGW_NUMBER_SIZE]);

/*
 * Turns one number literal, valid by RFC 8259 section 6 and not necessarily
 * NUL-terminated, into its canonical text.  Returns the length without the
 * terminating NUL, or -1 (out is then unspecified) when a double can't hold
 * the number and the receiver would see another one than was written.  The
 * work is O(len), whatever the exponent says.
 */
extern int	kgw_jcs_number_canonical(const char *text, size_t len,
								 char out[KGW_NUMBER_SIZE]);

#endif							/* KGW_PURE_JCS_NUMBER_H */
