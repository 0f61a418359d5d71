/*-------------------------------------------------------------------------
 *
 * text_hash.h
 *	  A 64 bit hash of texts: of one, or of several by passing on what came before.
 *
 * For memory of this process and shared memory only: nothing that is stored may
 * depend on it, since another version of PostgreSQL may hash otherwise.
 *
 * src/pg/text_hash.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PG_TEXT_HASH_H
#define KGW_PG_TEXT_HASH_H

#include "common/hashfn.h"

/* The hash of a text, after "before": that of the texts before it, or 0. */
static inline uint64
kgw_text_hash(const char *text, uint64 before)
{
	return hash_bytes_extended((const unsigned char *) text, strlen(text), before);
}

#endif							/* KGW_PG_TEXT_HASH_H */
