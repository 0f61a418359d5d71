/*-------------------------------------------------------------------------
 *
 * watching.h
 *	  Beginning and ending to watch a table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_WATCHING_H
#define KGW_WATCHING_H

#include "domain/watched.h"

extern void kgw_watching_begin(Oid relid, const KgwWatchRow *row);
extern void kgw_watching_end(Oid relid);
extern void kgw_watching_guard(Oid relid, const char *machine);

#endif							/* KGW_WATCHING_H */
