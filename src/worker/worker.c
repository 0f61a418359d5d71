/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  The background worker that delivers: one a database and shard.
 *
 * It sleeps until something happens (a commit sets its latch, the network has
 * news, a retry is due) and then lets the loop make a turn.  Idle, it neither
 * wakes nor queries.
 *
 * It runs its own short transactions as the bootstrap superuser, so it must not
 * let a role's or database's defaults reach them: a statement_timeout or a
 * search_path meant for people would stop deliveries.
 *
 * An error ends the process, and the launcher starts another after a pause;
 * what was in flight is then sent again.  SIGTERM is handled by die(), so
 * that a fast shutdown never waits for a receiver.
 *
 * src/worker/worker.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "pg/compat.h"
#include "pg/error_recovery.h"
#include "pg/guc.h"
#include "pg/transaction.h"
#include "send/http_client.h"
#include "send/openssl_algorithms.h"
#include "shmem/counters.h"
#include "shmem/destination_stats.h"
#include "shmem/wakeups.h"
#include "shmem/worker_slots.h"
#include "worker/loop.h"
#include "worker/worker.h"

/* Slot and shard share the worker's argument. */
#define ARGUMENT(slot, shard) Int32GetDatum((slot) * KGW_MAX_SHARDS + (shard))

/*
 * Set, whatever role and database say.  A lock is waited for no longer than the
 * other destinations can bear, because they wait in the meantime, too (error_trap.c).  A commit is
 * flushed here and waits for no standby: what a worker settles needs to survive a
 * crash of this server, and a standby that was lost would keep it from settling
 * anything, though payments go on without it (synchronous_commit = local).
 */
static const char *const own_settings[][2] = {
	{"role", "none"},
	{"search_path", "pg_catalog, pg_temp"},
	{"synchronous_commit", "local"},
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_read_only", "off"},
	{"default_transaction_deferrable", "off"},
	{"statement_timeout", "0"},
	{"idle_in_transaction_session_timeout", "0"},
	{"idle_session_timeout", "0"},
	{"lock_timeout", "100ms"},
	KGW_COMPAT_SETTINGS_OF_17
	{"session_replication_role", "replica"},	/* see table_changed.c */
	{"row_security", "off"},
	{"jit", "off"},
	{"plan_cache_mode", "force_generic_plan"},
	{"max_parallel_workers_per_gather", "0"},
	{"enable_indexscan", "on"},
	{"enable_indexonlyscan", "on"},
	{"enable_nestloop", "on"},
	{"enable_sort", "on"},
	{"enable_seqscan", "off"},
	{"enable_bitmapscan", "off"},
	{"enable_hashjoin", "off"},
	{"enable_mergejoin", "off"},
};

/*
 * Have the postmaster start a worker.  False when there is no room for one
 * (max_worker_processes).
 */
bool
kgw_worker_register(int slot, int shard, Oid dboid, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker = {0};

	snprintf(worker.bgw_name, BGW_MAXLEN, "kgwebhook worker %d of database %u", shard, dboid);
	strlcpy(worker.bgw_type, "kgwebhook worker", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "kgwebhook", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "kgw_worker_main", BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ARGUMENT(slot, shard);
	worker.bgw_notify_pid = MyProcPid;
	memcpy(worker.bgw_extra, &dboid, sizeof(dboid));
	return RegisterDynamicBackgroundWorker(&worker, handle);
}

static void
apply_own_settings(void)
{
	for (size_t i = 0; i < lengthof(own_settings); i++)
		SetConfigOption(own_settings[i][0], own_settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * Each transaction frees what it has read and settled.  By default glibc gives
 * such pieces back to the kernel at once, only to have the next transaction
 * fault them in again, page by page.
 */
static void
keep_memory(void)
{
#ifdef __GLIBC__
	mallopt(M_MMAP_THRESHOLD, 4 * 1024 * 1024);
	mallopt(M_TRIM_THRESHOLD, 8 * 1024 * 1024);
#endif
}

static WaitEventSet *
create_wait_set(KgwLoop *loop)
{
	WaitEventSet *set = kgw_compat_wait_event_set(3);

	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(set, WL_SOCKET_READABLE, kgw_loop_fd(loop), NULL, NULL);
	return set;
}

/* Milliseconds to sleep for, rounded up; -1 for as long as it takes. */
static long
sleep_time(KgwLoop *loop)
{
	KgwTicks	deadline;
	KgwTicks	now;

	/* what set the latch during a wait inside a transaction is set no more */
	if (ConfigReloadPending || kgw_worker_slots_worker_dismissed())
		return 0;
	deadline = kgw_loop_deadline(loop);
	now = kgw_clock_ticks();
	if (deadline == KGW_NEVER)
		return -1;
	if (deadline <= now)
		return 0;
	return (long) Min((deadline - now + 999) / 1000, INT_MAX);
}

/* Wait until there is something to do. */
static void
wait_for_work(KgwLoop *loop, WaitEventSet *set)
{
	WaitEvent	events[3];
	int			count;

	count = WaitEventSetWait(set, sleep_time(loop), events, lengthof(events),
							 PG_WAIT_EXTENSION);
	for (int i = 0; i < count; i++)
	{
		if (events[i].events & WL_LATCH_SET)
			ResetLatch(MyLatch);
	}
}

/*
 * Turn after turn; returns why it is over.  Asked to end between two turns, nothing
 * is half done, and it ends without the FATAL of CHECK_FOR_INTERRUPTS().
 */
static const char *
work(KgwLoop *loop)
{
	WaitEventSet *set = create_wait_set(loop);

	for (;;)
	{
		if (ProcDiePending)
		{
			/* ereport(), too, would raise it; proc_exit() forgets it */
			HOLD_INTERRUPTS();
			return "It was asked to end.";
		}
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			kgw_loop_settings_changed(loop);
		}
		if (kgw_worker_slots_worker_dismissed())
			return "A statement needs the database without it, or there are to be fewer workers.";
		if (!kgw_loop_turn(loop))
			return "The database has no extension any more, or is to be looked at again.";
		kgw_wakeups_worker_state(kgw_loop_in_flight(loop), kgw_loop_busy(loop),
								!kgw_settings.enabled || kgw_loop_fenced(loop));
		wait_for_work(loop, set);
	}
}

/* The name of the database, which outlives every transaction. */
static void
read_database_name(void *arg)
{
	char	   *name = get_database_name(MyDatabaseId);

	*(const char **) arg = MemoryContextStrdup(TopMemoryContext, name != NULL ? name : "");
}

typedef struct KgwWorkerName
{
	int			shard;
	const char *database;
} KgwWorkerName;

/* Whatever the log has of a worker can be found by our name, with any log_line_prefix. */
static void
name_worker(void *arg)
{
	const KgwWorkerName *name = arg;

	errcontext("kgwebhook worker %d of database \"%s\"", name->shard, name->database);
}

/* Start over until the database has no extension; then say so and end. */
static void
serve(void *arg)
{
	KgwWorkerName name = {.shard = *(int *) arg};
	ErrorContextCallback context = {error_context_stack, name_worker, &name};
	int			shard = name.shard;
	KgwLoop    *loop;

	kgw_transaction_run("reading the name of the database", read_database_name, &name.database);
	error_context_stack = &context;
	kgw_http_client_init();
	kgw_openssl_algorithms_load();
	loop = kgw_loop_new(shard);
	kgw_destination_stats_clear();
	pgstat_report_activity(STATE_IDLE, NULL);
	if (kgw_loop_start(loop))
	{
		const char *reason;

		kgw_worker_slots_worker_present();
		ereport(LOG,
				(errmsg("kgwebhook worker %d of database \"%s\" has started", shard, name.database),
				 errhidecontext(true)));
		reason = work(loop);
		ereport(LOG,
				(errmsg("kgwebhook worker %d of database \"%s\" has stopped", shard, name.database),
				 errdetail_internal("%s", reason), errhidecontext(true)));
	}
	else
		kgw_worker_slots_worker_absent();
	error_context_stack = context.previous;
}

/* An error that ends the process is put on record first. */
static bool
record_fatal(const ErrorData *error)
{
	kgw_counters_error(error);
	return false;
}

/*
 * Entry point of the process.
 */
void
kgw_worker_main(Datum arg)
{
	int			slot = DatumGetInt32(arg) / KGW_MAX_SHARDS;
	int			shard = DatumGetInt32(arg) % KGW_MAX_SHARDS;
	Oid			dboid;

	memcpy(&dboid, MyBgworkerEntry->bgw_extra, sizeof(dboid));
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	/* attach first: the launcher counts on hearing of this process's end */
	if (!kgw_worker_slots_worker_attach(slot, shard) || kgw_worker_slots_worker_dismissed())
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(dboid, InvalidOid, 0);
	apply_own_settings();
	keep_memory();
	CurrentMemoryContext = AllocSetContextCreate(TopMemoryContext, "kgwebhook worker",
												 ALLOCSET_DEFAULT_SIZES);

	kgw_error_recovery_transaction(serve, &shard, record_fatal);
	proc_exit(0);
}
