/*-------------------------------------------------------------------------
 *
 * version.c
 *	  The extension's version in this database, held against the library's.
 *
 * A package brings a new library, which counts from the server's next start,
 * and new scripts, which count from ALTER EXTENSION UPDATE.  Between the two,
 * in either order, one is older than the other.
 *
 * A library serves every older extension: an unattended upgrade restarts the
 * server on some night, and nobody's payments may wait until someone has come to
 * run ALTER EXTENSION.  It can't serve a newer one, of which it doesn't know what
 * it means: then nothing is sent, what is committed waits in the queue, and both
 * the log and kgwebhook.stats say why.  Enqueuing is never refused.
 *
 * src/pg/version.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <string.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "pg/extension.h"
#include "pg/version.h"

/* The extension's version, in the current memory context; NULL without one. */
static char *
extension_version(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *version = NULL;

	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(kgw_extension_oid()));
	scan = systable_beginscan(rel, ExtensionOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_extension_extversion,
										 RelationGetDescr(rel), &isnull);

		version = TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return version;
}

/*
 * Raise an error when the extension is newer than this library.  Needs a
 * transaction.
 */
void
kgw_version_require(void)
{
	char	   *version = extension_version();

	if (version == NULL || strverscmp(version, KGW_VERSION) <= 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the library of kgwebhook is older than the extension"),
			 errdetail("The server has loaded version %s of the library; the extension in database \"%s\" is version %s.",
					   KGW_VERSION, get_database_name(MyDatabaseId), version),
			 errhint("Install the library of version %s and restart the server.", version)));
}

/*
 * Say so in the log when the extension is older than this library.  Needs a
 * transaction.
 */
void
kgw_version_remind(void)
{
	char	   *version = extension_version();

	if (version == NULL || strverscmp(version, KGW_VERSION) >= 0)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("the extension kgwebhook is older than its library"),
			 errdetail("The server has loaded version %s of the library; the extension in database \"%s\" is version %s, and is served as such.",
					   KGW_VERSION, get_database_name(MyDatabaseId), version),
			 errhint("Run ALTER EXTENSION kgwebhook UPDATE in that database.")));
}
