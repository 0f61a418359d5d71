/*-------------------------------------------------------------------------
 *
 * expire_intents.c
 *	  kg_expire_intents(): pending intents past their deadline expire.
 *
 * An ordinary UPDATE with the caller's own rights, or the owner's when a
 * superuser calls: the table's triggers, row security and ours see it as they
 * see any other, and so each intent gets its callback.  Only which column is the status is read with the owner's.
 *
 * Someone may be paying at this very moment.  So a row that is locked is passed
 * over, rather than waited for: either it isn't pending any more afterwards, or
 * it is expired next time.  A call stops at a number of intents, so that their
 * locks aren't held for long.
 *
 * There is no index for this.  One that knows which intents are pending would
 * have to be written at each change of status, by every payment.
 *
 * src/api/expire_intents.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "capture/watch_cache.h"
#include "pg/error_recovery.h"
#include "pg/extension.h"

PG_FUNCTION_INFO_V1(kg_expire_intents);

/* Intents of a table that expire in one call. */
#define AT_ONCE 10000

#define DEADLINE "payment_deadline"

/*
 * The status column of a watched table, or InvalidAttrNumber; false: not watched.
 * *source is what the table is followed from, or NULL.
 */
static bool
find_status(Oid relid, AttrNumber *status, char **source)
{
	Relation	rel = kgw_extension_open_table(relid, AccessShareLock);
	const KgwWatch *watch = kgw_watch_cache_lookup(rel);

	*status = watch == NULL ? InvalidAttrNumber : watch->status.attnum;
	*source = watch == NULL || watch->source == NULL ? NULL : pstrdup(watch->source);
	if (watch != NULL)
		kgw_watch_cache_release(watch);
	table_close(rel, NoLock);
	return watch != NULL;
}

/* The status column of a table that can be served; an error says why it can't. */
static AttrNumber
require_columns(Oid relid)
{
	AttrNumber	status;
	AttrNumber	deadline;
	char	   *source;

	if (!find_status(relid, &status, &source))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not watched", get_rel_name(relid)),
				 errdetail("No callback would be sent for intents that expire in this table."),
				 errhint("SELECT relation FROM kgwebhook.watch shows those that are.")));
	if (source != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is followed from source \"%s\"", get_rel_name(relid), source),
				 errdetail("Its intents are pending or paid at the source, where the node cannot see in time which."),
				 errhint("Let them expire at the source.")));
	deadline = get_attnum(relid, DEADLINE);
	if (status == InvalidAttrNumber || deadline == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 status == InvalidAttrNumber ?
				 errmsg("the status column of table \"%s\" no longer exists",
						get_rel_name(relid)) :
				 errmsg("column \"%s\" of table \"%s\" does not exist", DEADLINE,
						get_rel_name(relid)),
				 errhint("kg_create_payment_intents() creates a table that has it.")));
	if (getBaseType(get_atttype(relid, deadline)) != TIMESTAMPTZOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" is not a timestamptz", DEADLINE,
						get_rel_name(relid)),
				 errhint("Use ALTER TABLE to change the column's type.")));
	return status;
}

/*
 * Run the UPDATE.  A superuser, whose pg_cron job this may be, must not run the
 * triggers of every watched table with their privileges: so become the owner.
 */
static int64
update_as_owner(Oid relid, const char *statement)
{
	Relation	rel = kgw_extension_open_table(relid, RowExclusiveLock);
	Oid			owner = rel->rd_rel->relowner;
	bool		step_down = superuser() && owner != GetUserId();
	KgwOwnerSection section;
	int64		expired;

	if (step_down)
		kgw_extension_owner_begin_restricted(&section, owner);
	if (SPI_execute(statement, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not expire intents");
	expired = SPI_processed;
	if (step_down)
		kgw_extension_owner_end(&section);
	table_close(rel, NoLock);
	return expired;
}

/* Expire what is due in one table; how many did. */
static int64
expire_table(Oid relid)
{
	const char *status = quote_identifier(get_attname(relid, require_columns(relid), false));
	char	   *table = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
												   get_rel_name(relid));
	char	   *statement;

	statement = psprintf("WITH due AS MATERIALIZED ("
						 " SELECT tableoid, ctid FROM %s"
						 "  WHERE %s OPERATOR(pg_catalog.=) 'pending'"
						 "    AND " DEADLINE " OPERATOR(pg_catalog.<=) pg_catalog.now()"
						 "  ORDER BY " DEADLINE " LIMIT %d FOR UPDATE SKIP LOCKED)"
						 " UPDATE %s intent SET %s = 'expired' FROM due"
						 "  WHERE intent.ctid OPERATOR(pg_catalog.=) due.ctid"
						 "    AND intent.tableoid OPERATOR(pg_catalog.=) due.tableoid",
						 table, status, AT_ONCE, table, status);
	return update_as_owner(relid, statement);
}

/* Whether a watched table is one whose intents the caller can have expire. */
static bool
is_candidate(Oid relid)
{
	AttrNumber	status;
	char	   *source;

	return get_rel_name(relid) != NULL && find_status(relid, &status, &source) &&
		source == NULL && status != InvalidAttrNumber &&
		get_attnum(relid, DEADLINE) != InvalidAttrNumber &&
		(pg_class_aclcheck(relid, GetUserId(), ACL_UPDATE) == ACLCHECK_OK ||
		 pg_attribute_aclcheck(relid, status, GetUserId(), ACL_UPDATE) == ACLCHECK_OK);
}

/* The tables that are watched. */
static List *
watched_tables(void)
{
	List	   *tables = NIL;
	KgwOwnerSection section;

	kgw_extension_owner_begin(&section);
	if (SPI_execute("SELECT relation::pg_catalog.oid FROM kgwebhook.watch"
					" ORDER BY relation::pg_catalog.oid", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.watch");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Oid			relid = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i],
														   SPI_tuptable->tupdesc, 1, &isnull));

		tables = lappend_oid(tables, relid);
	}
	kgw_extension_owner_end(&section);
	return tables;
}

typedef struct KgwExpiry
{
	Oid			relid;
	int64		expired;
} KgwExpiry;

static void
expire_one(void *arg)
{
	KgwExpiry  *e = arg;

	e->expired = expire_table(e->relid);
}

/* The same for one of many: its errors become warnings. */
static int64
try_to_expire(Oid relid)
{
	KgwExpiry	e = {relid, 0};
	ErrorData  *error = kgw_error_recovery_subtransaction(expire_one, &e);

	if (error != NULL)
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("intents of table \"%s\" could not expire", get_rel_name(relid)),
				 errdetail("%s", error->message)));
	return e.expired;
}

/*
 * kg_expire_intents(relation regclass) -> bigint
 *
 * NULL: every watched table that has the columns and that the caller may
 * update.
 */
Datum
kg_expire_intents(PG_FUNCTION_ARGS)
{
	int64		expired = 0;
	ListCell   *lc;

	SPI_connect();
	if (!PG_ARGISNULL(0))
		expired = expire_table(PG_GETARG_OID(0));
	else
	{
		foreach(lc, watched_tables())
		{
			if (is_candidate(lfirst_oid(lc)))
				expired += try_to_expire(lfirst_oid(lc));
		}
	}
	SPI_finish();
	PG_RETURN_INT64(expired);
}
