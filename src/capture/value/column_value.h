/*-------------------------------------------------------------------------
 *
 * column_value.h
 *	  A column's value as JSON.
 *
 * src/capture/value/column_value.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CAPTURE_VALUE_COLUMN_VALUE_H
#define KGW_CAPTURE_VALUE_COLUMN_VALUE_H

#include "utils/jsonb.h"

#include "capture/value/column_kind.h"

extern char *kgw_column_value_text(const KgwColumn *column, Datum datum);
extern void kgw_column_value_string(JsonbValue *value, char *text);
extern void kgw_column_value_jsonb(JsonbValue *value, Jsonb *jsonb);
extern Jsonb *kgw_column_value_converted(const KgwColumn *column, Datum datum);
extern void kgw_column_value(JsonbValue *value, const KgwColumn *column, Datum datum);

#endif							/* KGW_CAPTURE_VALUE_COLUMN_VALUE_H */
