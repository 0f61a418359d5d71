/*-------------------------------------------------------------------------
 *
 * payload.h
 *	  The payload of an event, from a row of a watched table.
 *
 * src/capture/payload.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CAPTURE_PAYLOAD_H
#define KGW_CAPTURE_PAYLOAD_H

#include "executor/tuptable.h"
#include "utils/jsonb.h"

#include "capture/watch_cache.h"

extern char *kgw_payload_column_text(const KgwColumn *column, HeapTuple tuple, TupleDesc desc);
extern Jsonb *kgw_payload_build(const KgwWatch *watch, HeapTuple tuple, TupleDesc desc,
								const KgwEventFacts *facts, char **problem);

#endif							/* KGW_CAPTURE_PAYLOAD_H */
