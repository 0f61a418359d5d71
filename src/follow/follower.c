/*-------------------------------------------------------------------------
 *
 * follower.c
 *	  The process that looks after the sources that a database follows.
 *
 * The payments come by PostgreSQL's own apply worker.  What is left to do takes a
 * second connection, which a delivering worker must never wait for: a heartbeat
 * every ten seconds, a look at the replication slot, and the word that an organization
 * which has moved away has nothing left to send here.  What it finds is written into
 * kgwebhook.source, where views and kg_status() read it without a connection.
 *
 * A database that follows nobody has no such process.  The first of a database's workers
 * starts it and ends it with itself, so that whatever sends workers away (DROP
 * DATABASE, DROP EXTENSION) need not know of it.
 *
 * Each turn is one call of kgwebhook.follow_turn(), which also says when the next is due.
 *
 * src/follow/follower.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "follow/follower.h"
#include "follow/source_connection.h"
#include "pg/error_recovery.h"
#include "pg/extension.h"
#include "pg/transaction.h"
#include "shmem/follower_latch.h"
#include "shmem/point.h"

/* After a turn that could not be, the next one comes so much later. */
#define TROUBLE_PAUSE 5000

/* So long a source may take to answer; it gives up itself after 5 seconds. */
#define ANSWER_PATIENCE 15000

/* A number that stands for "there is nothing to follow". */
#define NOTHING (-1)

static BackgroundWorkerHandle *handle;

static void
end_follower(int code, Datum arg)
{
	if (handle != NULL)
		TerminateBackgroundWorker(handle);
}

static void
count_sources(void *arg)
{
	bool	   *any = arg;

	*any = false;
	if (!OidIsValid(kgw_extension_relation("source")))
		return;
	if (SPI_execute("SELECT FROM kgwebhook.source", true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.source");
	*any = SPI_processed > 0;
}

static void
try_count(void *arg)
{
	kgw_transaction_run("looking for sources", count_sources, arg);
}

/*
 * Called by the first worker of a database when it begins to read from nothing: start
 * the process if there is a source and no process yet.
 */
void
kgw_follower_ensure(void)
{
	static bool registered;
	BackgroundWorker worker = {0};
	bool		any = false;
	pid_t		pid;

	if (handle != NULL && GetBackgroundWorkerPid(handle, &pid) != BGWH_STOPPED)
		return;
	if (kgw_error_recovery_transaction(try_count, &any, NULL) != NULL || !any)
		return;
	if (!registered)
		before_shmem_exit(end_follower, (Datum) 0);
	registered = true;
	snprintf(worker.bgw_name, BGW_MAXLEN, "kgwebhook follower of database %u", MyDatabaseId);
	strlcpy(worker.bgw_type, "kgwebhook follower", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "kgwebhook", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "kgw_follower_main", BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = TROUBLE_PAUSE / 1000;
	worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
	memcpy(worker.bgw_extra, &MyProcPid, sizeof(MyProcPid));
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("kgwebhook could not start the process that looks after sources"),
				 errhint("Increase max_worker_processes.")));
}

/* What is followed no more needs no connection. */
static void
close_forgotten(void)
{
	List	   *sources = NIL;

	if (SPI_execute("SELECT source FROM kgwebhook.source", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.source");
	for (uint64 i = 0; i < SPI_processed; i++)
		sources = lappend(sources, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	kgw_source_connection_retain(sources);
}

static void
make_turn(void *arg)
{
	int		   *pause = arg;
	bool		isnull;

	*pause = NOTHING;
	if (!OidIsValid(kgw_extension_relation("source")))
		return;
	close_forgotten();
	if (SPI_execute("SELECT kgwebhook.follow_turn()", false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not call kgwebhook.follow_turn()");
	KGW_POINT("looked");
	*pause = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

static void
try_turn(void *arg)
{
	kgw_transaction_run("looking after sources", make_turn, arg);
}

/* Set, whatever role and database say; see worker.c. */
static void
apply_follower_settings(void)
{
	static const char *const own_settings[][2] = {
		{"role", "none"}, {"search_path", "pg_catalog, pg_temp"}, {"synchronous_commit", "local"},
		{"default_transaction_isolation", "read committed"}, {"default_transaction_read_only", "off"},
		{"statement_timeout", "0"}, {"lock_timeout", "1s"}, {"row_security", "off"}, {"jit", "off"}
	};

	for (size_t i = 0; i < lengthof(own_settings); i++)
		SetConfigOption(own_settings[i][0], own_settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * Entry point of the process.
 */
void
kgw_follower_main(Datum arg)
{
	MemoryContext context;
	int			worker;

	memcpy(&worker, MyBgworkerEntry->bgw_extra, sizeof(worker));
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (!kgw_follower_latch_attach(DatumGetObjectId(arg), worker))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	apply_follower_settings();
	kgw_source_connection_keep(ANSWER_PATIENCE);
	context = AllocSetContextCreate(TopMemoryContext, "kgwebhook follower",
									ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		int			pause = TROUBLE_PAUSE;

		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		if (kgw_error_recovery_transaction(try_turn, &pause, NULL) != NULL)
			pause = TROUBLE_PAUSE;
		if (pause == NOTHING)
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, pause,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	proc_exit(0);
}
