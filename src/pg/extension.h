/*-------------------------------------------------------------------------
 *
 * extension.h
 *	  Acting as the owner of the extension, or of a table, for a moment.
 *
 * src/pg/extension.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PG_EXTENSION_H
#define KGW_PG_EXTENSION_H

#include "storage/lockdefs.h"
#include "utils/relcache.h"

typedef struct KgwOwnerSection
{
	Oid			saved_user;
	int			saved_context;
	int			guc_level;
} KgwOwnerSection;

extern void kgw_extension_owner_begin(KgwOwnerSection *section);
extern void kgw_extension_owner_begin_restricted(KgwOwnerSection *section, Oid role);
extern void kgw_extension_owner_end(KgwOwnerSection *section);
extern Oid	kgw_extension_relation(const char *name);
extern Oid	kgw_extension_oid(void);
extern Oid	kgw_extension_schema(Oid extension);
extern bool kgw_extension_hold(void);
extern Relation kgw_extension_open_table(Oid relid, LOCKMODE mode);

#endif							/* KGW_PG_EXTENSION_H */
