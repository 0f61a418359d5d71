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
 * And a watched table that is attached to a watched one, or has partitions that are
 * watched: there is one trigger for both, whose name PostgreSQL would find taken.
 * Of the former no event trigger learns before the error, so the utility hook asks.
 *
 * A trigger of the log is refused besides: the log is written in bulk, without firing
 * triggers, and one that silently never fires is worse than none.
 *
 * src/capture/ddl_check.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "commands/event_trigger.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "capture/ddl_check.h"
#include "pg/compat.h"
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
	{
		run_as_owner("DELETE FROM kgwebhook.shape s WHERE NOT EXISTS"
					 " (SELECT FROM pg_catalog.pg_class c"
					 " WHERE c.oid OPERATOR(pg_catalog.=) s.relation)", SPI_OK_DELETE);
		run_as_owner("DELETE FROM kgwebhook.watch w WHERE NOT EXISTS"
					 " (SELECT FROM pg_catalog.pg_class c"
					 " WHERE c.oid OPERATOR(pg_catalog.=) w.relation)", SPI_OK_DELETE);
	}
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

/* Whether a table is the log, or a partition of it. */
static bool
is_log(Oid relid)
{
	Oid			log = kgw_extension_relation("delivery_log");

	return OidIsValid(log) && OidIsValid(relid) &&
		(relid == log || (get_rel_relispartition(relid) && get_partition_parent(relid, true) == log));
}

static void
refuse_log_trigger(const CreateTrigStmt *statement)
{
	Oid			relid = RangeVarGetRelid(statement->relation, NoLock, true);

	if (!is_log(relid))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("table \"%s\" cannot have triggers", get_rel_name(relid)),
			 errdetail("The workers write attempts in bulk, which fires no trigger."),
			 errhint("Publish the table by logical replication, or read its new rows from time to time.")));
}

/*
 * kgwebhook.check_watched_ddl(): event trigger on ddl_command_end
 */
Datum
kg_check_watched_ddl(PG_FUNCTION_ARGS)
{
	const Node *command = command_of(fcinfo);

	if (command != NULL && IsA(command, CreateTrigStmt))
		refuse_log_trigger((const CreateTrigStmt *) command);
	else if (may_concern_us(command) && OidIsValid(kgw_extension_relation("watch")))
		run_as_owner("SELECT kgwebhook.refuse_unwatched_changes()", SPI_OK_SELECT);
	PG_RETURN_NULL();
}

/* Refuse to watch a partition twice: by itself, and with the table that it is one of. */
void
kgw_ddl_check_refuse_twice(Oid partition, Oid parent)
{
	char	   *name = get_rel_name(partition);

	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("table \"%s\" is watched by itself", name),
			 errdetail("With \"%s\", all its partitions are watched.", get_rel_name(parent)),
			 errhint("Call kg_unwatch(%s) first, in the same transaction.",
					 quote_literal_cstr(quote_qualified_identifier(get_namespace_name(get_rel_namespace(partition)),
																   name)))));
}

/* Whether it has our trigger. */
static bool
has_enqueue_trigger(Oid relid)
{
	return OidIsValid(get_trigger_oid(relid, KGW_ENQUEUE_TRIGGER, true));
}

/* A table of the caller's; invalid when there is none: it is PostgreSQL's to say so. */
static Oid
own_table(const RangeVar *name)
{
	Oid			relid = RangeVarGetRelid(name, NoLock, true);

	return OidIsValid(relid) && kgw_compat_owns_relation(relid, GetUserId()) ? relid : InvalidOid;
}

static void
check_attached(Oid parent, Oid attached)
{
	ListCell   *lc;

	if (!OidIsValid(parent) || !OidIsValid(attached) || !has_enqueue_trigger(parent))
		return;
	foreach(lc, find_all_inheritors(attached, NoLock, NULL))
	{
		if (has_enqueue_trigger(lfirst_oid(lc)))
			kgw_ddl_check_refuse_twice(lfirst_oid(lc), parent);
	}
}

/* Before a statement: refuse to attach what is watched to a watched table. */
void
kgw_ddl_check_attach(const Node *command)
{
	const AlterTableStmt *statement = (const AlterTableStmt *) command;
	ListCell   *lc;

	if (!IsA(command, AlterTableStmt) || !OidIsValid(kgw_extension_relation("watch")))
		return;
	foreach(lc, statement->cmds)
	{
		const AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_AttachPartition)
			check_attached(own_table(statement->relation),
						   own_table(((const PartitionCmd *) cmd->def)->name));
	}
}
