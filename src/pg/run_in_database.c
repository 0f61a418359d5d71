/*-------------------------------------------------------------------------
 *
 * run_in_database.c
 *	  A statement in another database of this server, with the caller's rights.
 *
 * A background process connects there as the caller, runs the statement and
 * ends.  Unlike a connection over the network it needs no password, no line in
 * pg_hba.conf and no other extension; like one it needs the right to connect,
 * and commits by itself, whatever becomes of the caller's transaction.
 *
 * The statement runs with the rights of someone who may be a superuser, in a
 * database where others may own what it names.  So it has a precondition: a query
 * of the catalogs alone, of which the answer is NULL, or an objection.
 *
 * Precondition, statement and outcome travel in a segment of shared memory that the two have
 * for themselves.  An error there, fatal ones of the connection included, is
 * caught on its way to the server's log and raised again here.
 *
 * src/pg/run_in_database.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "pg/run_in_database.h"
#include "pg/transaction.h"

#define TEXT_SIZE 1024

typedef struct KgwStatementRun
{
	Oid			database;
	Oid			user;
	bool		done;			/* committed */
	int			sqlstate;		/* of the error, or 0 */
	char		message[TEXT_SIZE];
	char		detail[TEXT_SIZE];
	char		hint[TEXT_SIZE];
	char		objection[TEXT_SIZE];
	Size		statement;		/* where it begins in text */
	char		text[FLEXIBLE_ARRAY_MEMBER];	/* the precondition, and the statement */
} KgwStatementRun;

/* Of the process that runs the statement. */
static KgwStatementRun *mine;
static emit_log_hook_type previous_log_hook;

extern PGDLLEXPORT void kgw_run_in_database_main(Datum arg);

static void
note_error(ErrorData *error)
{
	if (previous_log_hook)
		previous_log_hook(error);
	if (error->elevel < ERROR || mine->sqlstate != 0)
		return;
	mine->sqlstate = error->sqlerrcode;
	strlcpy(mine->message, error->message ? error->message : "", TEXT_SIZE);
	strlcpy(mine->detail, error->detail ? error->detail : "", TEXT_SIZE);
	strlcpy(mine->hint, error->hint ? error->hint : "", TEXT_SIZE);
}

/*
 * Run a statement in this database, if its precondition has no objection; which is
 * returned, palloc'd.
 */
char *
kgw_run_in_database_run_here(const char *precondition, const char *statement)
{
	MemoryContext caller = CurrentMemoryContext;
	char	   *objection;

	SPI_connect();
	if (SPI_execute(precondition, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not execute \"%s\"", precondition);
	objection = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (objection != NULL)
		objection = MemoryContextStrdup(caller, objection);
	else
		(void) SPI_execute(statement, false, 0);
	SPI_finish();
	return objection;
}

/*
 * Entry point of the process.
 */
void
kgw_run_in_database_main(Datum arg)
{
	dsm_segment *segment;
	char	   *objection;

	BackgroundWorkerUnblockSignals();
	CurrentResourceOwner = ResourceOwnerCreate(NULL, "kgwebhook statement");
	segment = dsm_attach(DatumGetUInt32(arg));
	if (segment == NULL)
		return;					/* the caller has gone */
	mine = dsm_segment_address(segment);
	previous_log_hook = emit_log_hook;
	emit_log_hook = note_error;
	BackgroundWorkerInitializeConnectionByOid(mine->database, mine->user, 0);
	kgw_transaction_begin(mine->text + mine->statement);
	objection = kgw_run_in_database_run_here(mine->text, mine->text + mine->statement);
	strlcpy(mine->objection, objection ? objection : "", TEXT_SIZE);
	kgw_transaction_end();
	mine->done = true;
}

/* Have the process started. */
static BackgroundWorkerHandle *
start(dsm_segment *segment, const char *database)
{
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;

	snprintf(worker.bgw_name, BGW_MAXLEN, "kgwebhook statement in %s", database);
	strlcpy(worker.bgw_type, "kgwebhook statement", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "kgwebhook", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "kgw_run_in_database_main", BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no background worker is free for kgwebhook"),
				 errdetail("One is needed for a moment, in database \"%s\".", database),
				 errhint("Increase \"max_worker_processes\".")));
	return handle;
}

/* Raise what was raised there. */
static void
raise_again(const KgwStatementRun *run, const char *database)
{
	if (run->sqlstate == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("a statement in database \"%s\" did not complete", database),
				 errhint("See the server's log.")));
	ereport(ERROR,
			(errcode(run->sqlstate),
			 errmsg("%s", run->message),
			 *run->detail ? errdetail("%s", run->detail) : 0,
			 *run->hint ? errhint("%s", run->hint) : 0,
			 errcontext("in database \"%s\"", database)));
}

/*
 * Run a statement in a database of this server, as the current user, and wait
 * until it is committed there.  Its errors are raised here.  What the precondition
 * objects there is returned, palloc'd; NULL when it was run.
 */
char *
kgw_run_in_database_run(const char *database, const char *precondition, const char *statement)
{
	Size		precondition_size = strlen(precondition) + 1;
	dsm_segment *segment = dsm_create(offsetof(KgwStatementRun, text) + precondition_size + strlen(statement) + 1, 0);
	KgwStatementRun *run = dsm_segment_address(segment);
	char	   *objection;

	memset(run, 0, offsetof(KgwStatementRun, text));
	strcpy(run->text, precondition);
	run->statement = precondition_size;
	strcpy(run->text + precondition_size, statement);
	run->database = get_database_oid(database, false);
	run->user = GetUserId();
	(void) WaitForBackgroundWorkerShutdown(start(segment, database));
	if (!run->done)
		raise_again(run, database);
	objection = *run->objection ? pstrdup(run->objection) : NULL;
	dsm_detach(segment);
	return objection;
}
