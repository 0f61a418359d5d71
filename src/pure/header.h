/*-------------------------------------------------------------------------
 *
 * src/pure/header.h
 *	  One header line of an answer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_HEADER_H
#define KGW_HEADER_H

#include <stdbool.h>
#include <stddef.h>

extern bool kgw_header_value(const char *line, size_t len, const char *name,
							 char *out, size_t room);

#endif							/* KGW_HEADER_H */
