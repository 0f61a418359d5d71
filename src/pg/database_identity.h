/*-------------------------------------------------------------------------
 *
 * database_identity.h
 *	  Which database this is, among all copies of it.
 *
 * src/pg/database_identity.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PG_DATABASE_IDENTITY_H
#define KGW_PG_DATABASE_IDENTITY_H

extern int64 kgw_database_identity_origin(void);
extern char *kgw_database_identity_foreign(void);

#endif							/* KGW_PG_DATABASE_IDENTITY_H */
