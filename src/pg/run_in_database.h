/*-------------------------------------------------------------------------
 *
 * run_in_database.h
 *	  A statement in another database of this server.
 *
 * src/pg/run_in_database.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PG_RUN_IN_DATABASE_H
#define KGW_PG_RUN_IN_DATABASE_H

extern char *kgw_run_in_database_run_here(const char *precondition, const char *statement);
extern char *kgw_run_in_database_run(const char *database, const char *precondition, const char *statement);

#endif							/* KGW_PG_RUN_IN_DATABASE_H */
