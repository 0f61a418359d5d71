/*-------------------------------------------------------------------------
 *
 * canonical_payload.h
 *	  A payload's canonical text, made straight from jsonb.
 *
 * src/queue/canonical_payload.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_QUEUE_CANONICAL_PAYLOAD_H
#define KGW_QUEUE_CANONICAL_PAYLOAD_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

extern Size kgw_canonical_payload_append(StringInfo out, Jsonb *jsonb);

#endif							/* KGW_QUEUE_CANONICAL_PAYLOAD_H */
