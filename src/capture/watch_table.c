/*-------------------------------------------------------------------------
 *
 * watch_table.c
 *	  Beginning and ending to watch a table: its row in kgwebhook.watch and its
 *	  triggers.
 *
 * What may be asked for is checked first (watch_request.c), as the caller.  The rest
 * is done as the extension's owner, whose functions the triggers call.
 *
 * The triggers depend on the extension, not only on its functions: DROP
 * EXTENSION takes them along and leaves the payments' table as it was.
 *
 * src/capture/watch_table.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "capture/ddl_check.h"
#include "capture/value/money.h"
#include "capture/watch_request.h"
#include "capture/watch_table.h"
#include "pg/extension.h"

#define CHECK_TRIGGER "kgwebhook_check"

static Datum
name_datum(const char *name, char *null)
{
	*null = name == NULL ? 'n' : ' ';
	return name == NULL ? (Datum) 0 :
		DirectFunctionCall1(namein, CStringGetDatum(name));
}

static void
write_row(Oid relid, const KgwWatchRow *row)
{
	Oid			types[] = {REGCLASSOID, TEXTOID, NAMEOID, NAMEOID, NAMEOID, NAMEOID, JSONBOID, INT2OID, BOOLOID, NAMEOID, NAMEOID};
	Datum		args[lengthof(types)];
	char		nulls[] = "           ";

	args[0] = ObjectIdGetDatum(relid);
	args[1] = CStringGetTextDatum(row->event);
	args[2] = name_datum(row->id_column, &nulls[2]);
	args[3] = name_datum(row->status_column, &nulls[3]);
	args[4] = name_datum(row->url_column, &nulls[4]);
	args[5] = name_datum(row->org_column, &nulls[5]);
	args[6] = PointerGetDatum(row->payload);
	nulls[6] = row->payload == NULL ? 'n' : ' ';
	args[7] = Int16GetDatum(row->money_digits);
	args[8] = BoolGetDatum(row->payload_is_default);
	args[9] = name_datum(row->payload_column, &nulls[9]);
	args[10] = name_datum(row->webhook_id_column, &nulls[10]);
	if (SPI_execute_with_args("INSERT INTO kgwebhook.watch (relation, event, id_column, status_column,"
							  " url_column, org_column, payload, money_digits, payload_is_default,"
							  " payload_column, webhook_id_column)"
							  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
							  " ON CONFLICT (relation) DO UPDATE SET event = excluded.event,"
							  " id_column = excluded.id_column,"
							  " status_column = excluded.status_column,"
							  " url_column = excluded.url_column,"
							  " org_column = excluded.org_column,"
							  " payload = excluded.payload,"
							  " money_digits = excluded.money_digits,"
							  " payload_is_default = excluded.payload_is_default,"
							  " payload_column = excluded.payload_column,"
							  " webhook_id_column = excluded.webhook_id_column,"
							  " column_numbers = excluded.column_numbers,"
							  " numbered_for = excluded.numbered_for",
							  lengthof(types), types, args, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write kgwebhook.watch");
}

static char *
qualified_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

/* Whether the table has our trigger; an error if it is another under its name. */
static bool
has_trigger(Oid relid, const char *trigger)
{
	Relation	rel = table_open(relid, NoLock);
	bool		found = false;
	bool		ours = false;

	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *t = &rel->trigdesc->triggers[i];

		if (strcmp(t->tgname, trigger) != 0)
			continue;
		found = true;
		ours = get_func_namespace(t->tgfoid) == get_namespace_oid("kgwebhook", false);
	}
	table_close(rel, NoLock);
	if (found && !ours)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("table \"%s\" has a trigger of its own called \"%s\"",
						get_rel_name(relid), trigger),
				 errdetail("A trigger of kgwebhook has to have that name."),
				 errhint("Rename the trigger, and call the function again.")));
	return found;
}

/* Create a trigger that goes with the extension, unless it is there. */
static void
create_trigger(Oid relid, const char *trigger, const char *when, const char *function)
{
	char	   *table = qualified_name(relid);

	if (has_trigger(relid, trigger))
		return;
	SPI_execute(psprintf("CREATE TRIGGER %s %s ON %s"
						 " FOR EACH ROW EXECUTE FUNCTION %s",
						 trigger, when, table, function), false, 0);
	SPI_execute(psprintf("ALTER TRIGGER %s ON %s DEPENDS ON EXTENSION kgwebhook",
						 trigger, table), false, 0);
	SPI_execute(psprintf("COMMENT ON TRIGGER %s ON %s IS 'of kgwebhook; see kg_watch()'",
						 trigger, table), false, 0);
}

/* An error when a partition of the table is watched by itself. */
static void
check_partitions(Oid relid)
{
	Oid			types[] = {REGCLASSOID};
	Datum		args[1];
	bool		isnull;

	args[0] = ObjectIdGetDatum(relid);
	if (SPI_execute_with_args("SELECT w.relation FROM kgwebhook.watch w"
							  " JOIN pg_catalog.pg_partition_tree($1) p"
							  " ON p.relid OPERATOR(pg_catalog.=) w.relation"
							  " WHERE p.level OPERATOR(pg_catalog.>) 0"
							  " ORDER BY p.level, w.relation::pg_catalog.oid LIMIT 1",
							  1, types, args, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.watch");
	if (SPI_processed > 0)
		kgw_ddl_check_refuse_twice(DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0],
																  SPI_tuptable->tupdesc, 1,
																  &isnull)), relid);
}

/*
 * Creating or attaching a partition copies the trigger, for which PostgreSQL asks
 * whether the partition's creator may execute its function.  The owner of a
 * watched table may; another table of the same owner still is not watched.
 */
static void
grant_trigger(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class class;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	class = (Form_pg_class) GETSTRUCT(tuple);
	if (class->relkind == RELKIND_PARTITIONED_TABLE && class->relowner != GetUserId())
		SPI_execute(psprintf("GRANT EXECUTE ON FUNCTION kgwebhook.enqueue() TO %s",
							 quote_identifier(GetUserNameFromId(class->relowner, false))),
					false, 0);
	ReleaseSysCache(tuple);
}

/*
 * Watch a table as "row" says; one that is watched already gets the new row.
 * Raises an error for what the caller may not do or has named wrongly.
 * Returns the payload's map that was written down.
 */
Jsonb *
kgw_watch_table_begin(Oid relid, const KgwWatchRow *row)
{
	Relation	rel = kgw_watch_request_open(relid);
	KgwWatchRow full = *row;
	KgwOwnerSection section;

	full.money_digits = kgw_money_digits();
	full.payload_is_default = row->payload == NULL && row->payload_column == NULL;
	kgw_watch_request_check_row(rel, &full);
	if (full.payload_is_default)
		full.payload = (struct varlena *) kgw_watch_columns_default_payload(&full, rel);
	table_close(rel, NoLock);

	kgw_extension_owner_begin(&section);
	SPI_connect();
	check_partitions(relid);
	write_row(relid, &full);
	create_trigger(relid, KGW_ENQUEUE_TRIGGER, "AFTER INSERT OR UPDATE OR DELETE",
				   "kgwebhook.enqueue()");
	grant_trigger(relid);
	SPI_finish();
	CacheInvalidateRelcacheByRelid(kgw_extension_relation("watch"));
	kgw_extension_owner_end(&section);
	return (Jsonb *) full.payload;
}

/* Put the checks of a ready-made table on it. */
void
kgw_watch_table_guard(Oid relid, const char *machine)
{
	Relation	rel = kgw_watch_request_open(relid);
	KgwOwnerSection section;

	table_close(rel, NoLock);
	kgw_extension_owner_begin(&section);
	SPI_connect();
	create_trigger(relid, CHECK_TRIGGER, "BEFORE INSERT OR UPDATE",
				   psprintf("kgwebhook.check_transition(%s)", quote_literal_cstr(machine)));
	SPI_finish();
	kgw_extension_owner_end(&section);
}

/* An error when the table isn't watched, or is a partition of one that is. */
static void
check_watched(Relation rel)
{
	const KgwWatch *watch = kgw_watch_cache_lookup(rel);
	bool		watched = watch != NULL && watch->relation == RelationGetRelid(rel);

	if (watch != NULL)
		kgw_watch_cache_release(watch);
	if (!watched)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not watched", RelationGetRelationName(rel)),
				 errhint("SELECT relation FROM kgwebhook.watch shows those that are.")));
}

/*
 * Give a table a shape besides its own payload, replace it, or take it away (NULL).  The
 * subscriptions that ask for it are install/shapes.sql's.
 */
void
kgw_watch_table_shape(Oid relid, text *shape, Jsonb *payload)
{
	Relation	rel;
	Oid			types[] = {OIDOID, TEXTOID, JSONBOID};
	Datum		args[] = {ObjectIdGetDatum(relid), PointerGetDatum(shape), JsonbPGetDatum(payload)};
	KgwOwnerSection section;

	kgw_watch_request_check_owner(relid);
	rel = kgw_extension_open_table(relid, AccessShareLock);
	kgw_watch_request_check_owner(relid);
	check_watched(rel);
	kgw_watch_request_check_shape(rel, text_to_cstring(shape), payload);
	table_close(rel, NoLock);

	kgw_extension_owner_begin(&section);
	SPI_connect();
	if (SPI_execute_with_args("SELECT kgwebhook.write_shape($1, $2, $3)", 3, types, args,
							  payload == NULL ? "  n" : NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not write kgwebhook.shape");
	SPI_finish();
	CacheInvalidateRelcacheByRelid(kgw_extension_relation("watch"));
	kgw_extension_owner_end(&section);
}

/*
 * Stop watching a table.  The checks of a ready-made table stay.  Raises an
 * error when the table isn't watched, and when it is followed: watched again, it
 * would be followed no longer, while its source goes on writing it.
 */
void
kgw_watch_table_end(Oid relid)
{
	Relation	rel;
	Oid			types[] = {REGCLASSOID};
	Datum		args[1];
	KgwOwnerSection section;
	char	   *source;

	kgw_watch_request_check_owner(relid);
	rel = kgw_extension_open_table(relid, ShareRowExclusiveLock);
	kgw_watch_request_check_owner(relid);
	args[0] = ObjectIdGetDatum(relid);
	kgw_extension_owner_begin(&section);
	SPI_connect();
	if (SPI_execute_with_args("DELETE FROM kgwebhook.shape WHERE relation OPERATOR(pg_catalog.=) $1",
							  1, types, args, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not write kgwebhook.shape");
	if (SPI_execute_with_args("DELETE FROM kgwebhook.watch"
							  " WHERE relation OPERATOR(pg_catalog.=) $1 RETURNING source",
							  1, types, args, NULL, false, 0) != SPI_OK_DELETE_RETURNING)
		elog(ERROR, "could not write kgwebhook.watch");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not watched", RelationGetRelationName(rel)),
				 errhint("SELECT relation FROM kgwebhook.watch shows those that are.")));
	source = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (source != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is followed from source \"%s\"", RelationGetRelationName(rel), source),
				 errdetail("What the source commits would go on arriving here, and would be no event."),
				 errhint("Call kg_unfollow('%s') first.", source)));
	if (OidIsValid(get_trigger_oid(relid, KGW_ENQUEUE_TRIGGER, true)))
		SPI_execute(psprintf("DROP TRIGGER %s ON %s", KGW_ENQUEUE_TRIGGER, qualified_name(relid)), false, 0);
	SPI_finish();
	CacheInvalidateRelcacheByRelid(kgw_extension_relation("watch"));
	kgw_extension_owner_end(&section);
	table_close(rel, NoLock);
}
