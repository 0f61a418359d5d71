/*-------------------------------------------------------------------------
 *
 * markup.h
 *	  Text, numbers and times as HTML.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_MARKUP_H
#define KGW_MARKUP_H

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"

extern void kgw_markup_text(StringInfo out, const char *text, int max);
extern void kgw_markup_number(StringInfo out, const char *number);
extern void kgw_markup_count(StringInfo out, int64 count);
extern void kgw_markup_span(StringInfo out, int64 microseconds);
extern void kgw_markup_clock(StringInfo out, TimestampTz at);
extern void kgw_markup_time(StringInfo out, TimestampTz at, TimestampTz now);

#endif							/* KGW_MARKUP_H */
