/*-------------------------------------------------------------------------
 *
 * replication_subscription.c
 *	  The SQL functions by which kg_follow() and its like reach the source, and make
 *	  and drop the subscription.
 *
 * The statements CREATE and DROP SUBSCRIPTION are not run as SQL: an error of theirs
 * would quote the connection string in its context, and DROP refuses to be part of
 * a transaction where it also has to drop the slot.  PostgreSQL's own functions behind
 * them are called instead, with the slot left to source_connection.c.
 *
 * kg_follow() itself is PL/pgSQL (install/follow.sql); what is here is its outer hull,
 * within which no log or activity shows the string.
 *
 * src/follow/replication_subscription.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/subscriptioncmds.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_node.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "follow/source_connection.h"
#include "pg/apply_worker.h"
#include "pg/compat.h"
#include "secrets/statement_redaction.h"
#include "shmem/commit_callback.h"
#include "shmem/point.h"

PG_FUNCTION_INFO_V1(kg_follow);
PG_FUNCTION_INFO_V1(kg_open_source);
PG_FUNCTION_INFO_V1(kg_at_source);
PG_FUNCTION_INFO_V1(kg_at_source_end);
PG_FUNCTION_INFO_V1(kg_make_subscription);
PG_FUNCTION_INFO_V1(kg_remove_subscription);
PG_FUNCTION_INFO_V1(kg_applying);
PG_FUNCTION_INFO_V1(kg_wake_workers);

static void
require_superuser(void)
{
	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be superuser to follow a source"),
				 errdetail("It lets the server connect to wherever the caller says.")));
}

/* The statement has the string in it, and so will the server's log. */
static void
warn_of_log(const char *conninfo)
{
	const char *recorder = kgw_statement_redaction_recorder();

	if (recorder == NULL || strcasestr(conninfo, "password") == NULL)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("the connection string may be in the server's log"),
			 errdetail("The setting \"%s\" makes the server log statements as they are written.", recorder),
			 errhint("Change the password, and put it into a password file or a service file of the server.")));
}

/*
 * kg_follow(source, conninfo, relation, node, publication, announce_since, two_phase)
 */
Datum
kg_follow(PG_FUNCTION_ARGS)
{
	static const char query[] =
	"SELECT kgwebhook.follow($1, $2, $3, $4, $5, $6, $7)";
	Oid			types[] = {TEXTOID, TEXTOID, REGCLASSOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, BOOLOID};
	Datum		args[lengthof(types)];
	char		nulls[lengthof(types) + 1] = "";
	KgwDiscretion discretion;

	kgw_statement_redaction_begin(&discretion, "SELECT kg_follow(...)");
	require_superuser();
	for (size_t i = 0; i < lengthof(types); i++)
	{
		args[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
		if (PG_ARGISNULL(i) && types[i] != TIMESTAMPTZOID)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("only announce_since may be null")));
	}
	warn_of_log(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	SPI_connect();
	if (SPI_execute_with_args(query, lengthof(types), types, args, nulls, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not follow");
	SPI_finish();
	kgw_statement_redaction_end(&discretion);
	PG_RETURN_VOID();
}

/*
 * kgwebhook.open_source(source, conninfo)
 */
Datum
kg_open_source(PG_FUNCTION_ARGS)
{
	require_superuser();
	kgw_source_connection_open(text_to_cstring(PG_GETARG_TEXT_PP(0)),
							   text_to_cstring(PG_GETARG_TEXT_PP(1)));
	PG_RETURN_VOID();
}

/*
 * kgwebhook.at_source(source, query): a query of one column, run at the source.
 */
Datum
kg_at_source(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	require_superuser();
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	foreach(lc, kgw_source_connection_query(text_to_cstring(PG_GETARG_TEXT_PP(0)),
											text_to_cstring(PG_GETARG_TEXT_PP(1))))
	{
		char	   *text = lfirst(lc);
		Datum		value = text != NULL ? CStringGetTextDatum(text) : (Datum) 0;
		bool		isnull = text == NULL;

		tuplestore_putvalues(result->setResult, result->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}

/*
 * kgwebhook.at_source_end(source, command, commits, by_hand): a command for the source
 * once this transaction has committed, or been rolled back.
 */
Datum
kg_at_source_end(PG_FUNCTION_ARGS)
{
	char	   *source = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *command = text_to_cstring(PG_GETARG_TEXT_PP(1));

	require_superuser();
	if (PG_GETARG_BOOL(2))
		kgw_source_connection_at_commit(source, command, text_to_cstring(PG_GETARG_TEXT_PP(3)));
	else
		kgw_source_connection_at_abort(source, command);
	PG_RETURN_VOID();
}

static DefElem *
option(const char *name, Node *value)
{
	return makeDefElem(pstrdup(name), value, -1);
}

/*
 * kgwebhook.make_subscription(source, subscription, publication, slot, copies, options):
 * options are more of CREATE SUBSCRIPTION's, by name and value in turn.
 */
Datum
kg_make_subscription(PG_FUNCTION_ARGS)
{
	CreateSubscriptionStmt *statement = makeNode(CreateSubscriptionStmt);
	ParseState *parse = make_parsestate(NULL);
	ArrayType  *more = PG_GETARG_ARRAYTYPE_P(5);
	Datum	   *words;
	int			count;

	require_superuser();
	statement->subname = text_to_cstring(PG_GETARG_TEXT_PP(1));
	statement->conninfo = pstrdup(kgw_source_connection_string(text_to_cstring(PG_GETARG_TEXT_PP(0))));
	statement->publication = list_make1(makeString(text_to_cstring(PG_GETARG_TEXT_PP(2))));
	statement->options = list_make3(option("create_slot", (Node *) makeString("false")),
									option("slot_name", (Node *) makeString(text_to_cstring(PG_GETARG_TEXT_PP(3)))),
									option("copy_data", (Node *) makeString(PG_GETARG_BOOL(4) ? "true" : "false")));
	deconstruct_array(more, TEXTOID, -1, false, TYPALIGN_INT, &words, NULL, &count);
	for (int i = 0; i + 1 < count; i += 2)
		statement->options = lappend(statement->options,
									 option(TextDatumGetCString(words[i]),
											(Node *) makeString(TextDatumGetCString(words[i + 1]))));
	(void) CreateSubscription(parse, statement, false);
	CommandCounterIncrement();
	free_parsestate(parse);
	PG_RETURN_VOID();
}

static void
alter_subscription(const char *name, AlterSubscriptionType kind, const char *what, const char *value)
{
	AlterSubscriptionStmt *statement = makeNode(AlterSubscriptionStmt);
	ParseState *parse = make_parsestate(NULL);

	statement->kind = kind;
	statement->subname = pstrdup(name);
	statement->options = list_make1(option(what, (Node *) makeString(pstrdup(value))));
	(void) AlterSubscription(parse, statement, false);
	CommandCounterIncrement();
	free_parsestate(parse);
}

/*
 * kgwebhook.remove_subscription(subscription): drops it and leaves its slot.
 */
Datum
kg_remove_subscription(PG_FUNCTION_ARGS)
{
	DropSubscriptionStmt *statement = makeNode(DropSubscriptionStmt);
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));

	require_superuser();
	alter_subscription(name, ALTER_SUBSCRIPTION_ENABLED, "enabled", "false");
	alter_subscription(name, ALTER_SUBSCRIPTION_OPTIONS, "slot_name", "none");
	statement->subname = name;
	statement->behavior = DROP_RESTRICT;
	DropSubscription(statement, false);
	CommandCounterIncrement();
	PG_RETURN_VOID();
}

/*
 * kgwebhook.applying(): the subscription that this process applies, or NULL.
 */
Datum
kg_applying(PG_FUNCTION_ARGS)
{
	const char *name = kgw_apply_worker_subscription();

	if (name == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(name));
}

/*
 * kgwebhook.wake_workers(deliveries): at commit, for what SQL has put into the queue.
 */
Datum
kg_wake_workers(PG_FUNCTION_ARGS)
{
	kgw_commit_callback_wake(PG_GETARG_INT32(0));
	if (PG_GETARG_INT32(0) > 0)
		KGW_POINT("released");
	PG_RETURN_VOID();
}
