/*-------------------------------------------------------------------------
 *
 * source_error.h
 *	  What a source, or libpq, says of what it could not do.
 *
 * src/follow/source_error.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_FOLLOW_SOURCE_ERROR_H
#define KGW_FOLLOW_SOURCE_ERROR_H

#include "libpq-fe.h"

extern char *kgw_source_error_text(PGconn *conn, PGresult *result);
extern void kgw_source_error_raise(const char *source, PGconn *conn, PGresult *result);

#endif							/* KGW_FOLLOW_SOURCE_ERROR_H */
