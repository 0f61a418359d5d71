/*-------------------------------------------------------------------------
 *
 * types.h
 *	  What is asked of the canonicalizer, and how it may end.
 *
 * src/pure/jcs/types.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_JCS_TYPES_H
#define KGW_PURE_JCS_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Arrays and objects inside each other: 512 are taken, 513 are refused. */
#define KGW_CANONICAL_MAX_DEPTH 512
/* Longest input and longest canonical text, in bytes. */
#define KGW_CANONICAL_MAX_BYTES (1024 * 1024)

typedef enum KgwJcsStatus
{
	KGW_CANONICAL_OK,
	KGW_CANONICAL_MALFORMED,	/* not JSON by RFC 8259 */
	KGW_CANONICAL_NOT_OBJECT,	/* members were asked of something else */
	KGW_CANONICAL_DUPLICATE,	/* one object has a name twice */
	KGW_CANONICAL_BAD_UNICODE,	/* invalid UTF-8, or half a surrogate pair */
	KGW_CANONICAL_INEXACT_NUMBER,	/* a double can't hold it */
	KGW_CANONICAL_TOO_DEEP,
	KGW_CANONICAL_TOO_LARGE,
	KGW_CANONICAL_NO_MEMORY
} KgwJcsStatus;

/* What to change among the members of the top-level object. */
typedef struct KgwMembers
{
	bool		stamp;			/* add or replace "timestamp" ... */
	int64_t		timestamp;		/* ... by this integer (Unix seconds) */
	bool		drop_signature; /* leave "signature" out */
	const char *challenge;		/* what "challenge" is to have, no character of it escaped; or NULL */
} KgwMembers;

typedef struct KgwJcs KgwJcs;

#endif							/* KGW_PURE_JCS_TYPES_H */
