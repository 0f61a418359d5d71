/*-------------------------------------------------------------------------
 *
 * extension.c
 *	  The extension in the catalogs, and acting as its owner for a moment, or
 *	  as the owner of a table.
 *
 * kg_watch() and the ready-made tables act partly as their caller (who must own
 * the table, and owns what is created) and partly as the extension's owner (who
 * alone may write our tables and use our trigger functions).  A SECURITY
 * DEFINER function is the one or the other; so these functions run as their
 * caller, check, and step into an owner section for the rest.
 *
 * Inside a section search_path is pinned: what runs with the owner's rights must
 * never look a name up where the caller decides.  An error inside needs no
 * cleaning up, transaction abort restores user and settings.
 *
 * The other way about, a SECURITY DEFINER function that comes to code which a
 * user may have written (a cast of a type of theirs) steps down to the
 * user's role for as long as it runs, as PostgreSQL does for the expressions
 * of an index: restricted, so that it can't get back, and without leaving
 * settings behind.
 *
 * src/pg/extension.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "pg/extension.h"

/* The extension's OID in this database, or InvalidOid. */
Oid
kgw_extension_oid(void)
{
	return get_extension_oid("kgwebhook", true);
}

/*
 * Keep the extension from being dropped until the end of the transaction.  False
 * when it isn't there any more, or is another than at this process's first call:
 * numbers of the one mean nothing in the other's tables.
 *
 * Waits for a DROP EXTENSION that is under way.  Called before a table of ours is
 * locked, it can't be one half of a deadlock with it: that, too, begins here.
 */
bool
kgw_extension_hold(void)
{
	static Oid	served = InvalidOid;

	/* the number of one that is gone can be locked as well; so later calls look once */
	if (!OidIsValid(served) && !OidIsValid(served = kgw_extension_oid()))
		return false;
	LockDatabaseObject(ExtensionRelationId, served, 0, AccessShareLock);
	return kgw_extension_oid() == served;
}

/* Owner and schema of an extension; false when there is none. */
static bool
read_extension(Oid extension, Oid *owner, Oid *schema)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	scan = systable_beginscan(rel, ExtensionOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		*owner = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
		*schema = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* The schema that an extension was created in, or InvalidOid. */
Oid
kgw_extension_schema(Oid extension)
{
	Oid			owner;
	Oid			schema = InvalidOid;

	(void) read_extension(extension, &owner, &schema);
	return schema;
}

/* Until kgw_extension_owner_end(), names are looked up in pg_catalog only. */
static void
pin_search_path(KgwOwnerSection *section)
{
	section->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Become the extension's owner with a pinned search_path.  Sections don't
 * nest.
 */
void
kgw_extension_owner_begin(KgwOwnerSection *section)
{
	Oid			extension = kgw_extension_oid();
	Oid			owner;
	Oid			schema;

	if (!read_extension(extension, &owner, &schema))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"kgwebhook\" does not exist"),
				 errhint("Run CREATE EXTENSION kgwebhook CASCADE.")));

	GetUserIdAndSecContext(&section->saved_user, &section->saved_context);
	SetUserIdAndSecContext(owner, section->saved_context | SECURITY_LOCAL_USERID_CHANGE);
	pin_search_path(section);
}

/*
 * Become "role", with no way out: for running what others have written.  May be
 * inside a subtransaction, and has to end there.
 */
void
kgw_extension_owner_begin_restricted(KgwOwnerSection *section, Oid role)
{
	GetUserIdAndSecContext(&section->saved_user, &section->saved_context);
	SetUserIdAndSecContext(role, section->saved_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	pin_search_path(section);
}

/* Become the caller again. */
void
kgw_extension_owner_end(KgwOwnerSection *section)
{
	AtEOXact_GUC(false, section->guc_level);
	SetUserIdAndSecContext(section->saved_user, section->saved_context);
}

/* OID of kgwebhook.<name>, or InvalidOid: the extension is being dropped. */
Oid
kgw_extension_relation(const char *name)
{
	Oid			schema = get_namespace_oid("kgwebhook", true);

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

/*
 * A table that the caller named, maybe by a number that no table has any more: that is
 * no error of the server's (XX000), which table_open() raises.
 */
Relation
kgw_extension_open_table(Oid relid, LOCKMODE mode)
{
	Relation	rel = OidIsValid(relid) ? try_table_open(relid, mode) : NULL;

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	return rel;
}
