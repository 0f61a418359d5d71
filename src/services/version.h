/*-------------------------------------------------------------------------
 *
 * version.h
 *	  The extension's version in this database, held against the library's.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_VERSION_H
#define KGW_VERSION_H

extern void kgw_version_require(void);
extern void kgw_version_remind(void);

#endif							/* KGW_VERSION_H */
