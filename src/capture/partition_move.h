/*-------------------------------------------------------------------------
 *
 * partition_move.h
 *	  Objects whose row goes and comes back within one transaction.
 *
 * src/capture/partition_move.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CAPTURE_PARTITION_MOVE_H
#define KGW_CAPTURE_PARTITION_MOVE_H

#include "access/htup.h"
#include "utils/rel.h"

#include "capture/watch_cache.h"

extern void kgw_partition_move_away(const KgwWatch *watch, Relation rel, HeapTuple row);
extern bool kgw_partition_move_here(const KgwWatch *watch, Relation rel, HeapTuple row,
						   CommandId version, const char **status);
extern bool kgw_partition_move_alone(const KgwWatch *watch, Relation rel, HeapTuple row);
extern bool kgw_partition_move_from_before(Relation rel, HeapTuple row);

#endif							/* KGW_CAPTURE_PARTITION_MOVE_H */
