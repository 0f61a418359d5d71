/*-------------------------------------------------------------------------
 *
 * maintenance.c
 *	  The days of the log: made in time, dropped when they have had theirs; and
 *	  the room that the queue has taken, given back.
 *
 * Days are made when the first outcome of a day is about to be written, some of
 * them ahead: so a worker with nothing to do has nothing to do here either, and
 * a database that is being restored isn't interfered with (see create_log_partitions() in
 * the install script).  Old ones are dropped after that, and then once in 24
 * hours, which is the only timer of an idle worker; and so is the queue looked at.
 *
 * Nothing here may stop deliveries.  What can't be done, because someone holds
 * a lock or for any other reason, is left for later; until then the log's
 * default partition takes what comes.
 *
 * src/worker/maintenance.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "pg/extension.h"
#include "pg/transaction.h"
#include "shmem/counters.h"
#include "worker/error_trap.h"
#include "worker/maintenance.h"

/* Between two droppings, and after what could not be done, microseconds. */
#define PAUSE ((KgwTicks) USECS_PER_DAY)
#define PAUSE_AFTER_FAILURE ((KgwTicks) 10 * USECS_PER_MINUTE)

struct KgwMaintenance
{
	bool		drops;			/* one of a database's workers does */
	int64		day;			/* for which days were made last, by UTC */
	KgwTicks	make_at;		/* not before this */
	KgwTicks	drop_at;
};

/* Maintenance that has done nothing yet, in the current memory context. */
KgwMaintenance *
kgw_maintenance_new(bool drops)
{
	KgwMaintenance *maintenance = palloc0(sizeof(KgwMaintenance));

	maintenance->drops = drops;
	maintenance->day = PG_INT64_MIN;
	maintenance->make_at = KGW_OVERDUE;
	maintenance->drop_at = drops ? kgw_clock_ticks() + PAUSE : KGW_NEVER;
	return maintenance;
}

/* The day that a moment is in, by UTC. */
static int64
day_of(TimestampTz moment)
{
	int64		day = moment / USECS_PER_DAY;

	return moment % USECS_PER_DAY < 0 ? day - 1 : day;
}

typedef struct KgwCall
{
	const char *query;
	bool		result;
	bool		wrote;			/* anything in the database */
} KgwCall;

/* Call one of our functions.  False also when the extension is gone. */
static void
call(void *arg)
{
	KgwCall    *c = arg;
	bool		isnull;
	Datum		result;

	if (!kgw_extension_hold())
		return;
	if (SPI_execute(c->query, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not execute \"%s\"", c->query);
	result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	c->result = !isnull && DatumGetBool(result);
	c->wrote = TransactionIdIsValid(GetTopTransactionIdIfAny());
}

static void
call_in_transaction(void *arg)
{
	kgw_transaction_run(((KgwCall *) arg)->query, call, arg);
}

/* The same in a transaction; an error is logged, and means that it could not be done. */
static bool
try_to_call(KgwCall *c)
{
	return kgw_error_trap_run(call_in_transaction, c) == KGW_TRAP_DONE && c->result;
}

static void
invalidate_log(void *arg)
{
	if (kgw_extension_hold())
		CacheInvalidateRelcacheByRelid(kgw_extension_relation("delivery_log"));
}

static void
invalidate_in_transaction(void *arg)
{
	kgw_transaction_run("invalidating kgwebhook.delivery_log", invalidate_log, arg);
}

/*
 * Have every session read the log's list of partitions again.  One that was
 * reading it just when a day was attached may have taken in the attaching
 * transaction's invalidation before it stored a list without that day, and would
 * go by it until the next one.
 */
static void
tell_of_partitions(void)
{
	(void) kgw_error_trap_run(invalidate_in_transaction, NULL);
}

/* Outcomes are about to be written: see to it that the log has their day. */
void
kgw_maintenance_before_log(KgwMaintenance *maintenance)
{
	int64		today = day_of(GetCurrentTimestamp());
	KgwTicks	now = kgw_clock_ticks();
	KgwCall		create = {.query = "SELECT kgwebhook.create_log_partitions()"};

	if (today == maintenance->day || now < maintenance->make_at)
		return;
	if (try_to_call(&create))
	{
		if (create.wrote)
			tell_of_partitions();
		maintenance->day = today;
		if (maintenance->drops)
			maintenance->drop_at = now;
	}
	else
		maintenance->make_at = now + PAUSE_AFTER_FAILURE;
}

/* When kgw_maintenance_run() has to be called; KGW_NEVER for another worker's part. */
KgwTicks
kgw_maintenance_due(const KgwMaintenance *maintenance)
{
	return maintenance->drop_at;
}

/*
 * Drop what is older than kgwebhook.log_retention, and give back what a backlog has
 * left of the queue.
 */
void
kgw_maintenance_run(KgwMaintenance *maintenance)
{
	KgwCall		drop = {.query = "SELECT kgwebhook.drop_log_partitions()"};
	KgwCall		reindex = {.query = "SELECT kgwebhook.reindex_queue()"};
	bool		done = try_to_call(&drop);

	done &= try_to_call(&reindex);
	maintenance->drop_at = kgw_clock_ticks() + (done ? PAUSE : PAUSE_AFTER_FAILURE);
}
