/*-------------------------------------------------------------------------
 *
 * source_query.h
 *	  Waiting for what a source answers.
 *
 * src/follow/source_query.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_FOLLOW_SOURCE_QUERY_H
#define KGW_FOLLOW_SOURCE_QUERY_H

#include "libpq-fe.h"
#include "utils/timestamp.h"

extern PGresult *kgw_source_query_next(PGconn *conn, TimestampTz until, bool *late);
extern bool kgw_source_query_finish(PGconn *conn, TimestampTz until);

#endif							/* KGW_FOLLOW_SOURCE_QUERY_H */
