/*-------------------------------------------------------------------------
 *
 * transaction.c
 *	  Short transactions of a process that has none of its own.
 *
 * A background worker has to do by itself what the server does for a client's
 * statement: the statement's time, a transaction, a snapshot, SPI, what
 * pg_stat_activity shows.  It is written once, here.  An error inside needs no
 * cleaning up by the caller: who catches it (error_recovery.c) aborts, and a process
 * that catches none ends.
 *
 * src/pg/transaction.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "pg/transaction.h"

/* Where the caller was when the transaction began. */
static MemoryContext caller_context;

/* Begin one, with one snapshot for all of it and SPI connected. */
void
kgw_transaction_begin(const char *activity)
{
	Assert(!IsTransactionState());
	caller_context = CurrentMemoryContext;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	pgstat_report_activity(STATE_RUNNING, activity);
}

/* Commit it; the memory context is again what it was before. */
void
kgw_transaction_end(void)
{
	Assert(IsTransactionState());
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	MemoryContextSwitchTo(caller_context);
}

/* Act in a transaction, which is committed. */
void
kgw_transaction_run(const char *activity, void (*act) (void *), void *arg)
{
	kgw_transaction_begin(activity);
	act(arg);
	kgw_transaction_end();
}
