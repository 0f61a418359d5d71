/*-------------------------------------------------------------------------
 *
 * html.h
 *	  Text, numbers and times as HTML.
 *
 * src/dashboard/html.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_DASHBOARD_HTML_H
#define KGW_DASHBOARD_HTML_H

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"

extern void kgw_html_text(StringInfo out, const char *text, int max);
extern void kgw_html_number(StringInfo out, const char *number);
extern void kgw_html_count(StringInfo out, int64 count);
extern void kgw_html_span(StringInfo out, int64 microseconds);
extern void kgw_html_clock(StringInfo out, TimestampTz at);
extern void kgw_html_time(StringInfo out, TimestampTz at, TimestampTz now);

#endif							/* KGW_DASHBOARD_HTML_H */
