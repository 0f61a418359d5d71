/*-------------------------------------------------------------------------
 *
 * utility_hook.c
 *	  Statements of others that concern our workers.
 *
 * A worker stays connected to its database, and PostgreSQL refuses to drop,
 * rename, move or copy a database that someone is connected to.  So before
 * such a statement the database's workers are sent away, and the launcher is
 * kept from starting new ones until the statement is over.  What was in flight
 * is sent again afterwards.
 *
 * A database that was copied from one with the extension has it too, and one
 * that isn't a template any more may have it: after CREATE DATABASE, and ALTER
 * DATABASE with such an option, the launcher has a look, once that is committed.
 *
 * COMMIT PREPARED has no callback in the session that runs it; the workers are
 * told here to look at everything again, events and secrets.
 *
 * A watched table that is to become a partition of a watched one is refused here
 * (capture/ddl_check.c), for no event trigger has a say before PostgreSQL does it.
 *
 * Every other statement passes through untouched, and so does an error.
 *
 * src/worker/utility_hook.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/memutils.h"

#include "capture/ddl_check.h"
#include "pg/clock.h"
#include "pg/databases.h"
#include "shmem/wakeups.h"
#include "shmem/worker_slots.h"
#include "worker/utility_hook.h"

/* Longest wait for workers to leave, microseconds; then PostgreSQL decides. */
#define PATIENCE ((KgwTicks) 5000000)

static ProcessUtility_hook_type previous_utility_hook;

/* What is to be looked at when this transaction commits; in its context. */
static List *to_look_at = NIL;
static bool end_callback_registered;

/* A database that workers have been sent away from. */
typedef struct KgwSentAway
{
	Oid			dboid;
	bool		gone;			/* it was dropped */
} KgwSentAway;

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
has_option(AlterDatabaseStmt *statement, const char *name)
{
	ListCell   *lc;

	foreach(lc, statement->options)
	{
		if (strcmp(lfirst_node(DefElem, lc)->defname, name) == 0)
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
			return has_option((AlterDatabaseStmt *) statement, "tablespace") ?
				((AlterDatabaseStmt *) statement)->dbname : NULL;
		case T_RenameStmt:
			return ((RenameStmt *) statement)->renameType == OBJECT_DATABASE ?
				((RenameStmt *) statement)->subname : NULL;
		default:
			return NULL;
	}
}

/* The name of the database that may have workers afterwards, or may not, or NULL. */
static const char *
database_to_look_at(Node *statement)
{
	if (IsA(statement, CreatedbStmt))
		return ((CreatedbStmt *) statement)->dbname;
	if (IsA(statement, AlterDatabaseStmt) &&
		(has_option((AlterDatabaseStmt *) statement, "is_template") ||
		 has_option((AlterDatabaseStmt *) statement, "allow_connections")))
		return ((AlterDatabaseStmt *) statement)->dbname;
	return NULL;
}

static void
look_at_transaction_end(XactEvent event, void *arg)
{
	ListCell   *lc;

	if (event == XACT_EVENT_COMMIT)
	{
		foreach(lc, to_look_at)
			kgw_worker_slots_look_again(lfirst_oid(lc));
	}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		to_look_at = NIL;
}

/* Have the launcher look at a database, when and if this transaction commits. */
static void
look_at_commit(const char *name)
{
	MemoryContext caller;
	Oid			dboid;

	CommandCounterIncrement();
	dboid = get_database_oid(name, true);
	if (!OidIsValid(dboid))
		return;
	if (!end_callback_registered)
		RegisterXactCallback(look_at_transaction_end, NULL);
	end_callback_registered = true;
	caller = MemoryContextSwitchTo(TopTransactionContext);
	to_look_at = lappend_oid(to_look_at, dboid);
	MemoryContextSwitchTo(caller);
}

/* Whether the statement, which needs a database for itself, may have it. */
static bool
is_allowed(Node *statement, Oid dboid)
{
	if (IsA(statement, CreatedbStmt))
		return kgw_databases_may_copy(dboid);
	return dboid != MyDatabaseId && kgw_databases_owned(dboid);
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

	while (kgw_worker_slots_workers_of(dboid) > 0 && kgw_clock_ticks() < until)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 5L, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

static void
run_statement(PlannedStmt *plan, const char *query, bool read_only, ProcessUtilityContext context,
	ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest,
	QueryCompletion *completion)
{
	if (previous_utility_hook)
		previous_utility_hook(plan, query, read_only, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(plan, query, read_only, context, params, environment, dest,
								completion);
}

static void
let_return(int code, Datum arg)
{
	KgwSentAway *sent_away = (KgwSentAway *) DatumGetPointer(arg);

	kgw_worker_slots_let_return(sent_away->dboid, sent_away->gone);
}

static void
on_statement(PlannedStmt *plan, const char *query, bool read_only,
			 ProcessUtilityContext context, ParamListInfo params,
			 QueryEnvironment *environment, DestReceiver *dest,
			 QueryCompletion *completion)
{
	Node	   *statement = plan->utilityStmt;
	const char *name = database_to_leave(statement);
	const char *to_look = database_to_look_at(statement);
	bool		wake = is_commit_prepared(statement);
	bool		drops = IsA(statement, DropdbStmt);
	KgwSentAway sent_away = {0};

	kgw_ddl_check_attach(statement);
	if (name != NULL)
		sent_away.dboid = get_database_oid(name, true);
	if (!OidIsValid(sent_away.dboid) || !is_allowed(statement, sent_away.dboid) ||
		!kgw_worker_slots_send_away(sent_away.dboid))
		run_statement(plan, query, read_only, context, params, environment, dest, completion);
	else
	{
		/* also when this session is ended: a worker kept away would be so for ever */
		PG_ENSURE_ERROR_CLEANUP(let_return, PointerGetDatum(&sent_away));
		{
			wait_for_departure(sent_away.dboid);
			run_statement(plan, query, read_only, context, params, environment, dest, completion);
			sent_away.gone = drops;
		}
		PG_END_ENSURE_ERROR_CLEANUP(let_return, PointerGetDatum(&sent_away));
		let_return(0, PointerGetDatum(&sent_away));
	}
	if (to_look != NULL)
		look_at_commit(to_look);
	if (wake)
		kgw_wakeups_wake(0, 1 << KGW_CHANGED_ALL);
}

/* Begin to see statements.  Called from _PG_init while libraries are preloaded. */
void
kgw_utility_hook_install(void)
{
	previous_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = on_statement;
}
