/*-------------------------------------------------------------------------
 *
 * watch_table.h
 *	  Beginning and ending to watch a table.
 *
 * src/capture/watch_table.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CAPTURE_WATCH_TABLE_H
#define KGW_CAPTURE_WATCH_TABLE_H

#include "capture/watch_cache.h"

extern Jsonb *kgw_watch_table_begin(Oid relid, const KgwWatchRow *row);
extern void kgw_watch_table_end(Oid relid);
extern void kgw_watch_table_shape(Oid relid, text *shape, Jsonb *payload);
extern void kgw_watch_table_guard(Oid relid, const char *machine);

#endif							/* KGW_CAPTURE_WATCH_TABLE_H */
