/*-------------------------------------------------------------------------
 *
 * source_connection.h
 *	  A connection to the source that this database follows, and what is to be
 *	  done over it when the transaction ends.
 *
 * src/follow/source_connection.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_FOLLOW_SOURCE_CONNECTION_H
#define KGW_FOLLOW_SOURCE_CONNECTION_H

#include "nodes/pg_list.h"

extern void kgw_source_connection_open(const char *source, const char *conninfo);
extern const char *kgw_source_connection_string(const char *source);
extern void kgw_source_connection_keep(int milliseconds);
extern void kgw_source_connection_retain(List *sources);
extern List *kgw_source_connection_query(const char *source, const char *query);
extern void kgw_source_connection_at_abort(const char *source, const char *command);
extern void kgw_source_connection_at_commit(const char *source, const char *command,
											const char *by_hand);

#endif							/* KGW_FOLLOW_SOURCE_CONNECTION_H */
