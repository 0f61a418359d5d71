/*-------------------------------------------------------------------------
 *
 * database_identity.c
 *	  Which database this is, among all copies of it.
 *
 * A copy of a database has the original's queue, and must not send it: the
 * original does.  So the database knows who it is, by the server's system
 * identifier and its own OID, and two things remember it:
 *
 *	kgwebhook.instance	A row written by CREATE EXTENSION.  It is dumped, and a
 *						restore puts the original's row beside the one that
 *						CREATE EXTENSION has just made there.  Nothing makes the
 *						rows unique, and one that names another database is
 *						enough to tell a copy.
 *	queue.origin		The same, hashed into a number, in every delivery.  A
 *						restore in parallel may bring the queue before the row of
 *						the instance, and someone may bring the queue alone.
 *
 * Physical copies have the same identity as the original, and a standby has to:
 * promoted, it goes on as the original.  They can't be told apart here.
 *
 * The table is read by hand and not through SPI: it is looked at in each
 * transaction that reads the queue, and has a row.
 *
 * src/pg/database_identity.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xlog.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "pg/compat.h"
#include "pg/database_identity.h"
#include "pg/extension.h"

/* Columns of kgwebhook.instance. */
enum
{
	INSTANCE_SYSTEM_IDENTIFIER = 1, INSTANCE_DATABASE
};

/*
 * This database's number, which its deliveries carry.  The same for the life
 * of the process, and never zero.
 */
int64
kgw_database_identity_origin(void)
{
	static int64 origin;
	struct
	{
		uint64		system_identifier;
		uint64		database;
	}			identity;

	if (origin == 0)
	{
		identity.system_identifier = GetSystemIdentifier();
		identity.database = MyDatabaseId;
		origin = hash_bytes_extended((const unsigned char *) &identity, sizeof(identity), 0);
		if (origin == 0)
			origin = 1;
	}
	return origin;
}

/* Another database that a row names, in words; NULL when it names this one. */
static char *
named_by(TupleTableSlot *slot)
{
	bool		isnull;
	uint64		system_identifier;
	Oid			database;

	system_identifier = DatumGetInt64(slot_getattr(slot, INSTANCE_SYSTEM_IDENTIFIER, &isnull));
	database = DatumGetObjectId(slot_getattr(slot, INSTANCE_DATABASE, &isnull));
	if (system_identifier == GetSystemIdentifier() && database == MyDatabaseId)
		return NULL;
	return psprintf("database %u of system " UINT64_FORMAT, database, system_identifier);
}

/*
 * The database that this one is a copy of, in words and palloc'd; NULL when it
 * is no copy, or has no extension.  One that records nobody is a copy of nobody
 * knows what.  Needs an active snapshot.
 */
char *
kgw_database_identity_foreign(void)
{
	Oid			relid = kgw_extension_relation("instance");
	Relation	rel;
	TableScanDesc scan;
	TupleTableSlot *slot;
	char	   *foreign = NULL;
	bool		recorded = false;

	/* DROP EXTENSION may be faster */
	rel = OidIsValid(relid) ? try_table_open(relid, AccessShareLock) : NULL;
	if (rel == NULL)
		return NULL;
	slot = table_slot_create(rel, NULL);
	scan = kgw_compat_table_beginscan(rel, GetActiveSnapshot());
	while (foreign == NULL && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		recorded = true;
		foreign = named_by(slot);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
	return recorded || foreign != NULL ? foreign : pstrdup("a database that is not recorded");
}
