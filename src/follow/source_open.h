/*-------------------------------------------------------------------------
 *
 * source_open.h
 *	  Connecting to a source.
 *
 * src/follow/source_open.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_FOLLOW_SOURCE_OPEN_H
#define KGW_FOLLOW_SOURCE_OPEN_H

#include "libpq-fe.h"

extern PGconn *kgw_source_open(const char *source, const char *conninfo, PGconn *beside);

#endif							/* KGW_FOLLOW_SOURCE_OPEN_H */
