/*-------------------------------------------------------------------------
 *
 * moved.h
 *	  Rows that an UPDATE moves to another partition.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_MOVED_H
#define KGW_MOVED_H

#include "access/htup.h"
#include "utils/rel.h"

extern bool kgw_moved_away(Relation rel, HeapTuple row);
extern void kgw_moved_remember(Oid watched, HeapTuple row, const char *id, const char *status);
extern bool kgw_moved_any(void);
extern bool kgw_moved_here(Oid watched, Relation rel, HeapTuple row, const char *id,
						   const char **status);

#endif							/* KGW_MOVED_H */
