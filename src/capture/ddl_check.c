/*-------------------------------------------------------------------------
 *
 * ddl_check.c
 *	  The event triggers: tables that are dropped, and those that are altered
 *	  so that changes of status would go unseen.
 *
 * They are called for every CREATE, ALTER and DROP of a table in the database,
 * temporary ones included, of which some applications make one for each request.  To
 * ask PostgreSQL what a command was about takes as long as the command, so that is
 * left for the few that may be about a watched table: a table that is created
 * by itself isn't, nor is one whose columns are altered; and whether one was dropped
 * is seen by looking for those that are watched.
 *
 * src/capture/ddl_check.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "commands/event_trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "pg/extension.h"

PG_FUNCTION_INFO_V1(kg_forget_dropped_table);
PG_FUNCTION_INFO_V1(kg_check_watched_ddl);

/* Column of kgwebhook.watch. */
#define WATCH_RELATION 1

static const Node *
command_of(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function was not called by an event trigger"),
				 errhint("It is for the event triggers that CREATE EXTENSION makes.")));
	return ((EventTriggerData *) fcinfo->context)->parsetree;
}

/* Whether a table that is watched isn't there any more. */
static bool
any_gone(Oid watch)
{
	Relation	table = table_open(watch, AccessShareLock);
	SysScanDesc scan = systable_beginscan(table, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	row;
	bool		gone = false;
	bool		isnull;

	while (!gone && HeapTupleIsValid(row = systable_getnext(scan)))
		gone = !SearchSysCacheExists1(RELOID, heap_getattr(row, WATCH_RELATION,
														   RelationGetDescr(table), &isnull));
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return gone;
}

/* Run a statement of ours as the extension's owner. */
static void
run_as_owner(const char *statement, int expected)
{
	KgwOwnerSection section;

	kgw_extension_owner_begin(&section);
	SPI_connect();
	if (SPI_execute(statement, false, 0) != expected)
		elog(ERROR, "could not run: %s", statement);
	SPI_finish();
	kgw_extension_owner_end(&section);
}

/*
 * kgwebhook.forget_dropped_table(): event trigger on sql_drop
 */
Datum
kg_forget_dropped_table(PG_FUNCTION_ARGS)
{
	Oid			watch = kgw_extension_relation("watch");

	(void) command_of(fcinfo);
	if (OidIsValid(watch) && any_gone(watch))
		run_as_owner("DELETE FROM kgwebhook.watch w WHERE NOT EXISTS"
					 " (SELECT FROM pg_catalog.pg_class c"
					 " WHERE c.oid OPERATOR(pg_catalog.=) w.relation)", SPI_OK_DELETE);
	PG_RETURN_NULL();
}

/* Whether any of an ALTER TABLE's parts changes where the table's rows are. */
static bool
alters_place(const AlterTableStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->cmds)
	{
		switch (lfirst_node(AlterTableCmd, lc)->subtype)
		{
			case AT_AddInherit:
			case AT_AttachPartition:
			case AT_SetUnLogged:
				return true;
			default:
				break;
		}
	}
	return false;
}

static bool
may_concern_us(const Node *command)
{
	if (command == NULL)
		return true;
	switch (nodeTag(command))
	{
		case T_CreateStmt:
		case T_CreateForeignTableStmt:
			return ((const CreateStmt *) command)->inhRelations != NIL;
		case T_CreateSchemaStmt:
			return ((const CreateSchemaStmt *) command)->schemaElts != NIL;
		case T_AlterTableStmt:
			return alters_place((const AlterTableStmt *) command);
		default:
			return true;
	}
}

/*
 * kgwebhook.check_watched_ddl(): event trigger on ddl_command_end
 */
Datum
kg_check_watched_ddl(PG_FUNCTION_ARGS)
{
	const Node *command = command_of(fcinfo);

	if (may_concern_us(command) && OidIsValid(kgw_extension_relation("watch")))
		run_as_owner("SELECT kgwebhook.refuse_unwatched_changes()", SPI_OK_SELECT);
	PG_RETURN_NULL();
}
