/*-------------------------------------------------------------------------
 *
 * partition_move.h
 *	  Rows that an UPDATE moves to another partition.
 *
 * src/capture/partition_move.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CAPTURE_PARTITION_MOVE_H
#define KGW_CAPTURE_PARTITION_MOVE_H

#include "access/htup.h"
#include "utils/rel.h"

extern bool kgw_partition_move_away(Relation rel, HeapTuple row);
extern void kgw_partition_move_remember(Oid watched, HeapTuple row, const char *id, const char *status);
extern bool kgw_partition_move_any(void);
extern bool kgw_partition_move_here(Oid watched, Relation rel, HeapTuple row, const char *id,
						   const char **status);

#endif							/* KGW_CAPTURE_PARTITION_MOVE_H */
