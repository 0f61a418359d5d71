/*-------------------------------------------------------------------------
 *
 * draft.h
 *	  Appending to the draft, which has a limit.
 *
 * src/pure/jcs/draft.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_JCS_DRAFT_H
#define KGW_PURE_JCS_DRAFT_H

#include "pure/jcs/error.h"

/* Appends to the draft. */
static inline KgwJcsStatus
kgw_jcs_draft_put(KgwJcs *c, const char *bytes, size_t len)
{
	if (len > c->limit - c->used)
		return kgw_jcs_error_fail(c, KGW_CANONICAL_TOO_LARGE);
	memcpy((char *) c->draft.data + c->used, bytes, len);
	c->used += len;
	return KGW_CANONICAL_OK;
}

#endif							/* KGW_PURE_JCS_DRAFT_H */
