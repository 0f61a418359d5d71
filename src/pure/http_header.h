/*-------------------------------------------------------------------------
 *
 * http_header.h
 *	  One header line of an answer.
 *
 * src/pure/http_header.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_HTTP_HEADER_H
#define KGW_PURE_HTTP_HEADER_H

#include <stdbool.h>
#include <stddef.h>

extern bool kgw_http_header_value(const char *line, size_t len, const char *name,
							 char *out, size_t room);

#endif							/* KGW_PURE_HTTP_HEADER_H */
