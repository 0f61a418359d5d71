/*-------------------------------------------------------------------------
 *
 * http_date.h
 *	  Dates as HTTP writes them.
 *
 * src/pure/http_date.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_HTTP_DATE_H
#define KGW_PURE_HTTP_DATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KGW_DAY_S INT64_C(86400)

extern bool kgw_http_date_parse(const char *text, size_t len,
								int64_t now_unix, int64_t *unix_time);

#endif							/* KGW_PURE_HTTP_DATE_H */
