/*-------------------------------------------------------------------------
 *
 * watch_request.h
 *	  What kg_watch() may be asked for.  All of these raise an error where it may not.
 *
 * src/capture/watch_request.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CAPTURE_WATCH_REQUEST_H
#define KGW_CAPTURE_WATCH_REQUEST_H

#include "capture/watch_cache.h"

/* Before a lock is taken, too: who has no business there must not block others. */
extern void kgw_watch_request_check_owner(Oid relid);

/*
 * Open a table of the caller's that can be watched, with ShareRowExclusiveLock: for the
 * caller to close, keeping the lock.
 */
extern Relation kgw_watch_request_open(Oid relid);

extern void kgw_watch_request_check_row(Relation rel, const KgwWatchRow *row);
extern void kgw_watch_request_check_shape(Relation rel, const char *shape, Jsonb *payload);

#endif							/* KGW_CAPTURE_WATCH_REQUEST_H */
