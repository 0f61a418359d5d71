/*-------------------------------------------------------------------------
 *
 * databases.h
 *	  Databases of this server, as pg_database has them.
 *
 * src/pg/databases.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PG_DATABASES_H
#define KGW_PG_DATABASES_H

#include "nodes/pg_list.h"

extern List *kgw_databases_list(void);
extern bool kgw_databases_serves(Oid dboid, NameData *name);
extern bool kgw_databases_owned(Oid dboid);
extern bool kgw_databases_may_copy(Oid dboid);

#endif							/* KGW_PG_DATABASES_H */
