/*-------------------------------------------------------------------------
 *
 * verified.c
 *	  That a subscription's receiver has answered its challenge, so that its events
 *	  may go.
 *
 * It is written down in the transaction that settles the challenge: one that has been
 * answered is never asked for again, and never forgotten.  So it can't be left for the next
 * outcome when a session has locked the subscription, for there is none.  The batch fails then,
 * and the next try leaves the challenge out, until the lock is gone; others aren't held up by it.
 *
 * Only the challenge that the subscription waits for counts.  It may wait for another by now,
 * since someone has asked for a new one or has changed the URL.
 *
 * What the worker remembers of the subscription stays as it is until everything that waits for it
 * is read again (worker/loop_changed.c).  Otherwise an event that is committed in between would
 * go before older ones of its object.
 *
 * Needs SPI to be connected.
 *
 * src/settle/verified.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "pg/saved_plan.h"
#include "settle/verified.h"
#include "shmem/commit_callback.h"

/* Whether an outcome is the answer that was asked for. */
static bool
is_answered(const KgwSettlement *settlement)
{
	return settlement->attempt->outcome == KGW_ACKNOWLEDGED && settlement->attempt->challenge[0] != '\0';
}

/* Run a statement with the subscription and the challenge of a row; how many rows it was about. */
static uint64
run(SPIPlanPtr plan, const KgwDelivery *row, int expected)
{
	Datum		args[2] = {Int64GetDatum(row->subscription_id), CStringGetTextDatum(row->webhook_id)};

	if (SPI_execute_plan(plan, args, NULL, false, 0) != expected)
		elog(ERROR, "could not use kgwebhook.subscription");
	return SPI_processed;
}

/* Mark those whose subscription another session has locked. */
void
kgw_verified_mark_locked(KgwSettlement *settlements, int count)
{
	static SPIPlanPtr kept_all;
	static SPIPlanPtr kept_free;
	Oid			types[] = {INT8OID, TEXTOID};

	kgw_saved_plan(&kept_all,
			 "SELECT FROM kgwebhook.subscription"
			 " WHERE subscription_id OPERATOR(pg_catalog.=) $1 AND challenge OPERATOR(pg_catalog.=) $2", 2, types);
	kgw_saved_plan(&kept_free,
			 "SELECT FROM kgwebhook.subscription"
			 " WHERE subscription_id OPERATOR(pg_catalog.=) $1 AND challenge OPERATOR(pg_catalog.=) $2"
			 "   FOR UPDATE SKIP LOCKED", 2, types);
	for (int i = 0; i < count; i++)
	{
		if (is_answered(&settlements[i]) && !settlements[i].locked)
			settlements[i].locked = run(kept_all, settlements[i].row, SPI_OK_SELECT) > 0 &&
				run(kept_free, settlements[i].row, SPI_OK_SELECT) == 0;
	}
}

/*
 * Let the events of those go whose challenges are answered.  Part of the settling transaction; an
 * error of the class of locks when a session has locked one of the subscriptions.
 */
void
kgw_verified_settle(const KgwSettlement *settlements, int count)
{
	static SPIPlanPtr kept_lock;
	static SPIPlanPtr kept_write;
	Oid			types[] = {INT8OID, TEXTOID};

	for (int i = 0; i < count; i++)
	{
		if (!is_answered(&settlements[i]) || settlements[i].locked)
			continue;
		kgw_saved_plan(&kept_lock,
				 "SELECT FROM kgwebhook.subscription"
				 " WHERE subscription_id OPERATOR(pg_catalog.=) $1 AND challenge OPERATOR(pg_catalog.=) $2"
				 "   FOR UPDATE NOWAIT", 2, types);
		kgw_saved_plan(&kept_write,
				 "UPDATE kgwebhook.subscription"
				 "   SET challenge = NULL, verified_at = pg_catalog.clock_timestamp(),"
				 "       resumed_at = pg_catalog.clock_timestamp()"
				 " WHERE subscription_id OPERATOR(pg_catalog.=) $1 AND challenge OPERATOR(pg_catalog.=) $2", 2, types);
		if (run(kept_lock, settlements[i].row, SPI_OK_SELECT) > 0 &&
			run(kept_write, settlements[i].row, SPI_OK_UPDATE) > 0)
			kgw_commit_callback_changed(KGW_CHANGED_SUBSCRIPTIONS);
	}
}
