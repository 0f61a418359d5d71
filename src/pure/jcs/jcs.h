/*-------------------------------------------------------------------------
 *
 * jcs.h
 *	  Canonical JSON (RFC 8785, JCS) of a JSON text, and the body made of it.
 *
 * One KgwJcs is a workspace that is used again and again: after the
 * first few runs a document of common size costs no allocation.  Everything
 * the functions return belongs to the workspace and lives until the next
 * kgw_jcs_run() or kgw_jcs_free().  A workspace is for one thread.
 *
 * src/pure/jcs/jcs.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_JCS_JCS_H
#define KGW_PURE_JCS_JCS_H

#include "pure/jcs/types.h"

/* NULL when there is no memory.  Freed by kgw_jcs_free(). */
extern KgwJcs *kgw_jcs_new(void);

/* Frees the workspace; NULL is allowed. */
extern void kgw_jcs_free(KgwJcs *c);

/*
 * Canonicalizes json[0..len).  members may be NULL: then any JSON value will
 * do; otherwise the top level has to be an object.  Whatever the outcome, the
 * workspace stays usable and whatever it returned before is gone.
 */
extern KgwJcsStatus kgw_jcs_run(KgwJcs *c,
											const char *json, size_t len,
											const KgwMembers *members);

/*
 * The same as kgw_jcs_run() with a timestamp to stamp, of text[0..len) that is known to be the
 * canonical text of an object with neither "timestamp" nor "signature": the former goes to byte "at",
 * which is after the "{" or the member before it.
 */
extern KgwJcsStatus kgw_jcs_stamp(KgwJcs *c, const char *text, size_t len, size_t at,
								  int64_t timestamp);

/* After KGW_CANONICAL_OK: the canonical text, NUL-terminated. */
extern const char *kgw_jcs_text(const KgwJcs *c, size_t *len);

/*
 * After KGW_CANONICAL_OK of an object: the body, which is the canonical text
 * with its final "}" replaced by  ,"signature":"<64 hex>"}  (no comma after an
 * empty object).  signature_hex need not be NUL-terminated.  The text of
 * kgw_jcs_text() is gone then.  Returns NULL, and changes nothing, when
 * the last run did not leave an object or it is sealed already.
 */
extern const char *kgw_jcs_seal(KgwJcs *c,
									  const char signature_hex[64],
									  size_t *len);

/*
 * After KGW_CANONICAL_OK: had the document a top-level "signature", dropped or
 * not?  *sig is its unescaped value (it may hold NULs, *len counts), or NULL
 * when it was something else than a string.
 */
extern bool kgw_jcs_signature(const KgwJcs *c, const char **sig,
									size_t *len);

/*
 * After KGW_CANONICAL_OK: had the document, before stamping, a top-level
 * "timestamp" that is an integer written as one (no fraction, no exponent, no
 * minus zero) and fits?
 */
extern bool kgw_jcs_timestamp(const KgwJcs *c, int64_t *ts);

/*
 * After a failure: one short lower-case sentence that says what is wrong and
 * where (a JSON pointer, RFC 6901, capped), and what to do about it, or "".
 * Valid UTF-8 without control characters, NUL-terminated, never NULL.
 */
extern const char *kgw_jcs_problem(const KgwJcs *c);
extern const char *kgw_jcs_hint(const KgwJcs *c);
extern const char *kgw_jcs_status_hint(KgwJcsStatus status);

#endif							/* KGW_PURE_JCS_JCS_H */
