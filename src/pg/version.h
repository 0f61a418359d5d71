/*-------------------------------------------------------------------------
 *
 * version.h
 *	  The extension's version in this database, held against the library's.
 *
 * src/pg/version.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PG_VERSION_H
#define KGW_PG_VERSION_H

extern void kgw_version_require(void);
extern void kgw_version_remind(void);

#endif							/* KGW_PG_VERSION_H */
