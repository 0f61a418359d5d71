/*-------------------------------------------------------------------------
 *
 * column_value.h
 *	  Values that JSON has no form for: money, arrays, composites, ranges.
 *
 * src/capture/column_value.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CAPTURE_COLUMN_VALUE_H
#define KGW_CAPTURE_COLUMN_VALUE_H

#include "utils/jsonb.h"

#include "capture/watch_cache.h"

extern int	kgw_column_value_money_digits(void);
extern char *kgw_column_value_text(const KgwColumn *column, Datum datum);
extern void kgw_column_value_string(JsonbValue *value, char *text);
extern void kgw_column_value_jsonb(JsonbValue *value, Jsonb *jsonb);
extern Jsonb *kgw_column_value_converted(const KgwColumn *column, Datum datum);
extern void kgw_column_value(JsonbValue *value, const KgwColumn *column, Datum datum);

#endif							/* KGW_CAPTURE_COLUMN_VALUE_H */
