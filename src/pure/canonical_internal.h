/*-------------------------------------------------------------------------
 *
 * canonical_internal.h
 *	  What the files of the canonicaliser share; nobody else includes it.
 *
 * The input is read once, left to right, and its canonical tokens are
 * appended to the "draft".  The draft is canonical JSON but for the order of
 * members.  Reordering never changes the length of a text, and an object
 * whose members come in order needs none, so only the others are written
 * down: each as a KgwMoved with its members, in the order in which they
 * close.  Without any, the draft is the result.  Otherwise one pass, from the
 * end of the draft to its beginning, writes the result (canonical_order.c).
 * So the work is linear but for sorting, and a document needs no tree.
 *
 * canonical.c			workspace, run, body, what the caller may ask
 * canonical_parse.c	grammar (RFC 8259)
 * canonical_members.c	the changes to members of the top level
 * canonical_string.c	strings: UTF-8, escapes
 * canonical_order.c	order of members, duplicates, the final pass
 * canonical_problem.c	sentences about failures
 *
 * src/pure/canonical_internal.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CANONICAL_INTERNAL_H
#define KGW_CANONICAL_INTERNAL_H

#include "pure/canonical.h"
#include "pure/number.h"

#include <string.h>

/* A buffer with more than this is given back when the next run begins. */
#define KGW_CANONICAL_KEEP_BYTES (64 * 1024)

/* Bytes that ,"signature":"<64 hex>"} takes; always free after the text. */
#define KGW_CANONICAL_SEAL_BYTES 80

/* Caps of what a sentence quotes, and of the sentence; in bytes. */
#define KGW_CANONICAL_QUOTE_BYTES 40
#define KGW_CANONICAL_PATH_BYTES 200
#define KGW_CANONICAL_PROBLEM_BYTES 400

/* An array that grows, and is kept from run to run. */
typedef struct KgwBuffer
{
	void	   *data;
	size_t		capacity;		/* in bytes */
} KgwBuffer;

/* One member of an object; all offsets are into the draft. */
typedef struct KgwMember
{
	const char *key;			/* canonical, without its quotes */
	uint32_t	key_len;
	uint32_t	end;			/* end of the value */
	uint32_t	moved;			/* objects moved before that end */
	bool		plain;			/* key sorts by bytes, as it stands */
} KgwMember;

/* An object whose members change places. */
typedef struct KgwMoved
{
	uint32_t	start;			/* just after its "{" */
	uint32_t	end;			/* just before its "}" */
	uint32_t	first;			/* its members in "kept", in order ... */
	uint32_t	count;			/* ... and how many */
	uint32_t	before;			/* objects moved before it opened */
} KgwMoved;

/* An array or object that is being read. */
typedef struct KgwFrame
{
	bool		object;
	uint32_t	start;			/* in the draft, just after its bracket */
	uint32_t	moved;			/* objects moved before it opened */
	uint32_t	base;			/* its first member in "open" */
	uint32_t	index;			/* of the element being read, in an array */
	uint32_t	member_start;	/* draft before the member and its comma */
	const char *value;			/* where the member's value begins, input */
} KgwFrame;

typedef enum KgwPresence
{
	KGW_ABSENT,
	KGW_NOT_STRING,
	KGW_STRING
} KgwPresence;

struct KgwCanonical
{
	/* the run's input; p is what is read next */
	const char *json;
	const char *p;
	const char *end;
	const KgwMembers *members;
	char		stamp[KGW_NUMBER_SIZE];
	int			stamp_len;
	bool		stamped;		/* has replaced a "timestamp" */

	KgwBuffer	draft;			/* char */
	uint32_t	used;
	uint32_t	limit;

	KgwFrame	frames[KGW_CANONICAL_MAX_DEPTH];
	int			depth;

	KgwBuffer	open;			/* KgwMember, of objects being read */
	uint32_t	nopen;
	KgwBuffer	kept;			/* KgwMember, of moved objects */
	uint32_t	nkept;
	KgwBuffer	moved;			/* KgwMoved, in order of their ends */
	uint32_t	nmoved;

	/* results */
	KgwCanonicalStatus status;
	KgwBuffer	ordered;		/* char; the text if anything moved */
	char	   *text;			/* in "draft" or in "ordered" */
	bool		sealable;
	KgwBuffer	signature;		/* char, unescaped */
	size_t		signature_len;
	KgwPresence has_signature;
	bool		has_timestamp;
	int64_t		timestamp;
	char		problem[KGW_CANONICAL_PROBLEM_BYTES];
};

/* canonical.c */

/* Makes room for that many bytes, keeping what is there; false: no memory. */
extern bool kgw_buffer_reserve(KgwBuffer *b, size_t bytes);

/* canonical_parse.c: reads the input into the draft. */
extern KgwCanonicalStatus kgw_canonical_parse(KgwCanonical *c);

/* canonical_members.c */

/* Ends the innermost object's last member, whose value is complete. */
extern KgwCanonicalStatus kgw_canonical_end_member(KgwCanonical *c);

/* Before the top-level object closes: adds "timestamp" if it is missing. */
extern KgwCanonicalStatus kgw_canonical_end_top(KgwCanonical *c);

/* canonical_string.c */

/*
 * Reads a string, c->p being at its opening quote, into the draft.  *plain
 * tells whether its UTF-16 order is that of its canonical bytes.
 */
extern KgwCanonicalStatus kgw_canonical_string(KgwCanonical *c, bool *plain);

/* Takes one unescaped byte from a canonical string that has more. */
extern unsigned char kgw_canonical_next_byte(const char **p);

/* canonical_order.c */

/* Orders the members of the innermost object, and refuses duplicates. */
extern KgwCanonicalStatus kgw_canonical_order(KgwCanonical *c);

/* Writes the draft in order to the length bytes that end before "end". */
extern void kgw_canonical_emit(const KgwCanonical *c, char *end);

/* canonical_problem.c: all set the sentence and return the status. */
extern KgwCanonicalStatus kgw_canonical_malformed(KgwCanonical *c,
												  const char *what);
extern KgwCanonicalStatus kgw_canonical_bad_unicode(KgwCanonical *c,
													const char *what);
extern KgwCanonicalStatus kgw_canonical_inexact(KgwCanonical *c,
												const char *number,
												size_t len);
extern KgwCanonicalStatus kgw_canonical_duplicate(KgwCanonical *c,
												  const KgwMember *member);
extern KgwCanonicalStatus kgw_canonical_fail(KgwCanonical *c,
											 KgwCanonicalStatus status);

/* Appends to the draft. */
static inline KgwCanonicalStatus
kgw_canonical_put(KgwCanonical *c, const char *bytes, size_t len)
{
	if (len > c->limit - c->used)
		return kgw_canonical_fail(c, KGW_CANONICAL_TOO_LARGE);
	memcpy((char *) c->draft.data + c->used, bytes, len);
	c->used += len;
	return KGW_CANONICAL_OK;
}

#endif							/* KGW_CANONICAL_INTERNAL_H */
