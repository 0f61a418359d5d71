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
#include "pgtime.h"
#include "utils/jsonb.h"

#include "capture/watch_cache.h"

/* The session's settings that change how a value is written. */
typedef struct KgwPayloadStyle
{
	int			date_style;
	int			interval_style;
	int			float_digits;
	int			bytea_output;
	bool		quote_all;
	pg_tz	   *timezone;
} KgwPayloadStyle;

extern void kgw_payload_style_begin(KgwPayloadStyle *session);
extern void kgw_payload_style_end(const KgwPayloadStyle *session);
extern void kgw_payload_value(JsonbValue *value, const KgwColumn *column, Datum datum);
extern char *kgw_payload_column_text(const KgwColumn *column, HeapTuple tuple, TupleDesc desc);
extern Jsonb *kgw_payload_build(const KgwWatch *watch, HeapTuple tuple, TupleDesc desc,
								char **problem);

#endif							/* KGW_CAPTURE_PAYLOAD_H */
