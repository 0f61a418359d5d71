/*-------------------------------------------------------------------------
 *
 * statements.c
 *	  Statements of others that concern our workers.
 *
 * A worker stays connected to its database, and PostgreSQL refuses to drop,
 * rename, move or copy a database that somebody is connected to.  So before
 * such a statement the database's workers are sent away, and the launcher is
 * kept from starting new ones until the statement is over.  What was in flight
 * is sent again afterwards.
 *
 * COMMIT PREPARED has no callback in the session that runs it; the workers are
 * told here to look at everything again, events and secrets.
 *
 * Every other statement passes through untouched, and so does an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "tcop/utility.h"

#include "processes/statements.h"
#include "services/clock.h"
#include "services/shared.h"

/* Longest wait for workers to leave, microseconds; then PostgreSQL decides. */
#define PATIENCE ((KgwTicks) 5000000)

static ProcessUtility_hook_type previous_hook;

/* The database that CREATE DATABASE copies. */
static const char *
template_of(CreatedbStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->options)
	{
		DefElem    *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return "template1";
}

static bool
has_tablespace(AlterDatabaseStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->options)
	{
		if (strcmp(lfirst_node(DefElem, lc)->defname, "tablespace") == 0)
			return true;
	}
	return false;
}

/* The name of the database that nobody may be connected to, or NULL. */
static const char *
database_to_leave(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			return ((DropdbStmt *) statement)->dbname;
		case T_CreatedbStmt:
			return template_of((CreatedbStmt *) statement);
		case T_AlterDatabaseStmt:
			return has_tablespace((AlterDatabaseStmt *) statement) ?
				((AlterDatabaseStmt *) statement)->dbname : NULL;
		case T_RenameStmt:
			return ((RenameStmt *) statement)->renameType == OBJECT_DATABASE ?
				((RenameStmt *) statement)->subname : NULL;
		default:
			return NULL;
	}
}

static bool
is_commit_prepared(Node *statement)
{
	return IsA(statement, TransactionStmt) &&
		((TransactionStmt *) statement)->kind == TRANS_STMT_COMMIT_PREPARED;
}

/* Wait until a database's workers have left. */
static void
wait_for_departure(Oid dboid)
{
	KgwTicks	until = kgw_clock_ticks() + PATIENCE;

	while (kgw_shared_workers_of(dboid) > 0 && kgw_clock_ticks() < until)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 5L, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

static void
run(PlannedStmt *plan, const char *query, bool read_only, ProcessUtilityContext context,
	ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest,
	QueryCompletion *completion)
{
	if (previous_hook)
		previous_hook(plan, query, read_only, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(plan, query, read_only, context, params, environment, dest,
								completion);
}

static void
on_statement(PlannedStmt *plan, const char *query, bool read_only,
			 ProcessUtilityContext context, ParamListInfo params,
			 QueryEnvironment *environment, DestReceiver *dest,
			 QueryCompletion *completion)
{
	Node	   *statement = plan->utilityStmt;
	const char *name = database_to_leave(statement);
	Oid			dboid = name ? get_database_oid(name, true) : InvalidOid;
	bool		wake = is_commit_prepared(statement);
	bool		drops = IsA(statement, DropdbStmt);
	volatile bool gone = false;

	if (!OidIsValid(dboid) || !kgw_shared_send_away(dboid))
	{
		run(plan, query, read_only, context, params, environment, dest, completion);
		if (wake)
			kgw_shared_wake(0, true);
		return;
	}
	PG_TRY();
	{
		wait_for_departure(dboid);
		run(plan, query, read_only, context, params, environment, dest, completion);
		gone = drops;
	}
	PG_FINALLY();
	{
		kgw_shared_let_return(dboid, gone);
	}
	PG_END_TRY();
}

/* Begin to see statements.  Called from _PG_init while libraries are preloaded. */
void
kgw_statements_watch(void)
{
	previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = on_statement;
}
