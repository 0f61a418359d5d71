/*-------------------------------------------------------------------------
 *
 * database.h
 *	  Databases of this server, as pg_database has them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_DATABASE_H
#define KGW_DATABASE_H

#include "nodes/pg_list.h"

extern List *kgw_database_list(void);
extern bool kgw_database_serves(Oid dboid, NameData *name);
extern bool kgw_database_owned(Oid dboid);
extern bool kgw_database_may_copy(Oid dboid);

#endif							/* KGW_DATABASE_H */
