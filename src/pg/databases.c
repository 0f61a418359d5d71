/*-------------------------------------------------------------------------
 *
 * databases.c
 *	  Databases of this server, as pg_database has them.
 *
 * The launcher asks which of them can have workers: those that can be
 * connected to and are no templates.  A worker in a template would be in the way
 * of everyone who copies it, and what is queued there is nobody's payment.
 * pg_database is shared, so it is read without connecting to any of them.
 *
 * A session that is about to drop, alter or copy a database is asked beforehand
 * whether it may: workers don't leave because of a statement that is going to be
 * refused.  PostgreSQL itself decides; here a wrong answer only costs time.
 *
 * src/pg/databases.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "pg/compat.h"
#include "pg/databases.h"
#include "pg/transaction.h"

typedef void (*KgwDatabaseTaker) (Form_pg_database form, void *arg);

/* What is shown the databases; and the memory that it may keep things in. */
typedef struct KgwDatabaseScan
{
	KgwDatabaseTaker take;
	void	   *arg;
	MemoryContext keep;
} KgwDatabaseScan;

static void
scan_databases(void *arg)
{
	KgwDatabaseScan *s = arg;
	MemoryContext scratch = MemoryContextSwitchTo(s->keep);
	Relation	rel = table_open(DatabaseRelationId, AccessShareLock);
	TableScanDesc scan = table_beginscan_catalog(rel, 0, NULL);
	HeapTuple	tuple;

	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		if (form->datallowconn && !form->datistemplate)
			s->take(form, s->arg);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	MemoryContextSwitchTo(scratch);
}

/* Show every database that can have workers, in a transaction of its own. */
static void
for_each(KgwDatabaseTaker take, void *arg)
{
	KgwDatabaseScan s = {take, arg, CurrentMemoryContext};

	kgw_transaction_run("looking for databases", scan_databases, &s);
}

static void
add_to_list(Form_pg_database form, void *arg)
{
	List	  **list = arg;

	*list = lappend_oid(*list, form->oid);
}

/*
 * The OIDs of all databases that can have workers, in the current memory
 * context.  Not to be called inside a transaction.
 */
List *
kgw_databases_list(void)
{
	List	   *list = NIL;

	for_each(add_to_list, &list);
	return list;
}

typedef struct KgwWanted
{
	Oid			dboid;
	NameData   *name;
	bool		found;
} KgwWanted;

static void
compare_name(Form_pg_database form, void *arg)
{
	KgwWanted  *wanted = arg;

	if (form->oid != wanted->dboid)
		return;
	wanted->found = true;
	*wanted->name = form->datname;
}

/*
 * Whether a database exists and can have workers; *name is then its name.
 * Not to be called inside a transaction.
 */
bool
kgw_databases_serves(Oid dboid, NameData *name)
{
	KgwWanted	wanted = {.dboid = dboid,.name = name};

	for_each(compare_name, &wanted);
	return wanted.found;
}

/* Whether the current user owns a database.  In a transaction. */
bool
kgw_databases_owned(Oid dboid)
{
	return kgw_compat_owns_database(dboid, GetUserId());
}

static bool
may_create(void)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	bool		may = false;

	if (HeapTupleIsValid(tuple))
	{
		may = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
		ReleaseSysCache(tuple);
	}
	return may || superuser();
}

/* Whether the current user may create a database as a copy of this one. */
bool
kgw_databases_may_copy(Oid dboid)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(dboid));
	bool		is_template;

	if (!HeapTupleIsValid(tuple))
		return false;
	is_template = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
	ReleaseSysCache(tuple);
	return may_create() && (is_template || kgw_databases_owned(dboid));
}
