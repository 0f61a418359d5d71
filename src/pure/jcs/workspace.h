/*-------------------------------------------------------------------------
 *
 * workspace.h
 *	  What the canonicalizer's files work on.
 *
 * The input is read once, left to right, and its canonical tokens are
 * appended to the "draft".  The draft is canonical JSON except for the order of
 * members.  Reordering never changes the length of a text, and an object
 * whose members come in order needs none, so only the others are written
 * down: each as a KgwJcsReorder with its members, in the order in which they
 * close.  Without any, the draft is the result.  Otherwise one pass, from the
 * end of the draft to its beginning, writes the result (sort.c).
 * So the work is linear except for sorting, and a document needs no tree.
 *
 * Above the workspace, each including only what stands before it: error (what
 * went wrong, and where), string, sort, members (the changes to members of the
 * top level), parse (the grammar), jcs (what a caller sees).
 *
 * src/pure/jcs/workspace.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_JCS_WORKSPACE_H
#define KGW_PURE_JCS_WORKSPACE_H

#include "pure/jcs/number.h"
#include "pure/jcs/types.h"

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
typedef struct KgwJcsMember
{
	const char *key;			/* canonical, without its quotes */
	uint32_t	key_len;
	uint32_t	end;			/* end of the value */
	uint32_t	moved;			/* objects moved before that end */
	bool		plain;			/* key sorts by bytes, as it stands */
} KgwJcsMember;

/* An object whose members change places. */
typedef struct KgwJcsReorder
{
	uint32_t	start;			/* just after its "{" */
	uint32_t	end;			/* just before its "}" */
	uint32_t	first;			/* its members in "kept", in order ... */
	uint32_t	count;			/* ... and how many */
	uint32_t	before;			/* objects moved before it opened */
} KgwJcsReorder;

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

struct KgwJcs
{
	/* the run's input; p is what is read next */
	const char *json;
	const char *p;
	const char *end;
	const KgwMembers *members;
	char		stamp[KGW_NUMBER_SIZE];
	int			stamp_len;		/* 0: none was made yet */
	int64_t		stamp_of;		/* the number that it is */
	bool		stamped;		/* has replaced a "timestamp" */

	KgwBuffer	draft;			/* char */
	uint32_t	used;
	uint32_t	limit;

	KgwFrame	frames[KGW_CANONICAL_MAX_DEPTH];
	int			depth;

	KgwBuffer	open;			/* KgwJcsMember, of objects being read */
	uint32_t	nopen;
	KgwBuffer	kept;			/* KgwJcsMember, of moved objects */
	uint32_t	nkept;
	KgwBuffer	moved;			/* KgwJcsReorder, in order of their ends */
	uint32_t	nmoved;

	/* results */
	KgwJcsStatus status;
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

/* Makes room for that many bytes, keeping what is there; false: no memory. */
extern bool kgw_jcs_workspace_reserve(KgwBuffer *b, size_t bytes);

/* An empty one with no buffers; NULL when there is no memory. */
extern KgwJcs *kgw_jcs_workspace_new(void);
extern void kgw_jcs_workspace_free(KgwJcs *c);

/* Sets everything to the state before the first byte of this input. */
extern void kgw_jcs_workspace_begin(KgwJcs *c, const char *json, size_t len,
									const KgwMembers *members);

#endif							/* KGW_PURE_JCS_WORKSPACE_H */
