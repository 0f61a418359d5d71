/*-------------------------------------------------------------------------
 *
 * settle.c
 *	  Writing down how attempts ended.
 *
 * Many outcomes go into one transaction: the log first, then what leaves the
 * queue and what stays, each kind by one set-based statement over arrays (batch.c),
 * or without any (queue_delete.c).  The log is written from memory and not from the
 * queue's rows, so that an attempt is logged even if a session has deleted its
 * delivery in the meantime.
 *
 * The caller brings the transaction.  It must commit durably before the worker
 * sends the next transition of the same object: until then the delivery is in
 * flight, and a crash sends it once more.
 *
 * A row that a session has locked can be left out of a batch, so that one session's
 * open transaction does not block all others.
 *
 * src/settle/settle.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/timestamp.h"

#include "pg/saved_plan.h"
#include "queue/queue_delete.h"
#include "settle/batch.h"
#include "settle/dead_letters.h"
#include "settle/delivery_log.h"
#include "settle/forgotten.h"
#include "settle/settle.h"
#include "settle/subscription_health.h"
#include "settle/verified.h"
#include "shmem/point.h"

static int
compare_delivery_ids(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* Run a plan that returns numbers of deliveries; they are sorted. */
static int64 *
read_ids(SPIPlanPtr which, Datum *args, bool read_only, int *count)
{
	int64	   *ids;

	if (SPI_execute_plan(which, args, NULL, read_only, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not settle: %s", SPI_result_code_string(SPI_result));
	*count = SPI_processed;
	ids = palloc(Max(*count, 1) * sizeof(int64));
	for (int i = 0; i < *count; i++)
	{
		bool		isnull;

		ids[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1,
											 &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
	qsort(ids, *count, sizeof(int64), compare_delivery_ids);
	return ids;
}

static bool
is_among(int64 id, const int64 *ids, int count)
{
	return bsearch(&id, ids, count, sizeof(int64), compare_delivery_ids) != NULL;
}

/*
 * Mark those whose rows in the queue another session has locked, or the subscriptions
 * that they verify.  They are left out of what follows in the same transaction, and the
 * others can't be held any more.
 */
void
kgw_settle_mark_locked(KgwSettlement *settlements, int count)
{
	static SPIPlanPtr kept_all;
	static SPIPlanPtr kept_free;
	Oid			types[] = {INT8ARRAYOID};
	KgwBatchArray	ids;
	Datum		args[1];
	int64	   *all,
			   *unheld;
	int			all_count,
				unheld_count;

	kgw_batch_init(&ids, INT8OID, count);
	for (int i = 0; i < count; i++)
		kgw_batch_add(&ids, Int64GetDatum(settlements[i].row->delivery_id));
	args[0] = kgw_batch_datum(&ids);
	kgw_saved_plan(&kept_all,
			 "SELECT delivery_id FROM kgwebhook.queue"
			 " WHERE delivery_id OPERATOR(pg_catalog.=) ANY ($1)", 1, types);
	kgw_saved_plan(&kept_free,
			 "SELECT delivery_id FROM kgwebhook.queue"
			 " WHERE delivery_id OPERATOR(pg_catalog.=) ANY ($1) FOR UPDATE SKIP LOCKED", 1, types);
	all = read_ids(kept_all, args, true, &all_count);
	unheld = read_ids(kept_free, args, false, &unheld_count);
	for (int i = 0; i < count; i++)
	{
		int64		id = settlements[i].row->delivery_id;

		settlements[i].locked = is_among(id, all, all_count) &&
			!is_among(id, unheld, unheld_count);
	}
	kgw_verified_mark_locked(settlements, count);
}

/*
 * Write the attempts' rows of the log; sets their attempt_id.
 */
void
kgw_settle_log(KgwSettlement *settlements, int count)
{
	KgwLogWriter *writer = kgw_delivery_log_begin();

	for (int i = 0; i < count; i++)
	{
		KgwSettlement *settlement = &settlements[i];
		KgwLogEntry entry = {
			.row = settlement->row,
			.attempt = settlement->attempt,
			.final = settlement->fate != KGW_FATE_RETRY,
			.is_test = settlement->is_test
		};

		if (settlement->locked)
			continue;
		settlement->attempt_id = kgw_delivery_log_write(writer, &entry);
	}
	kgw_delivery_log_end(writer);
}

/*
 * Take what is done out of the queue: where it was read, or else by number.  How many were
 * not there any more.
 */
static int
settle_done(KgwSettlement *settlements, int count)
{
	static SPIPlanPtr kept;
	Oid			types[] = {INT8ARRAYOID};
	KgwDequeuer *dequeuer = kgw_queue_delete_begin();
	KgwBatchArray	ids;
	Datum		args[1];

	kgw_batch_init(&ids, INT8OID, count);
	for (int i = 0; i < count; i++)
	{
		if (kgw_batch_has_fate(&settlements[i], KGW_FATE_DONE) &&
			!kgw_queue_delete(dequeuer, settlements[i].row))
			kgw_batch_add(&ids, Int64GetDatum(settlements[i].row->delivery_id));
	}
	kgw_queue_delete_end(dequeuer);
	if (ids.count == 0)
		return 0;
	kgw_saved_plan(&kept,
			 "DELETE FROM kgwebhook.queue"
			 " WHERE delivery_id OPERATOR(pg_catalog.=) ANY ($1)", 1, types);
	args[0] = kgw_batch_datum(&ids);
	return kgw_batch_execute(kept, args, SPI_OK_DELETE, ids.count);
}

/* Note when the deliveries that stay are tried again.  How many were not there any more. */
static int
settle_retries(KgwSettlement *settlements, int count)
{
	static SPIPlanPtr kept;
	Oid			types[] = {INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID,
	TIMESTAMPTZARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID};
	KgwBatchArray	ids,
				attempts,
				undone,
				times,
				refusals,
				held,
				wishes;
	Datum		args[7];

	kgw_batch_init(&ids, INT8OID, count);
	kgw_batch_init(&attempts, INT4OID, count);
	kgw_batch_init(&undone, INT4OID, count);
	kgw_batch_init(&times, TIMESTAMPTZOID, count);
	kgw_batch_init(&refusals, TIMESTAMPTZOID, count);
	kgw_batch_init(&held, INT8OID, count);
	kgw_batch_init(&wishes, TIMESTAMPTZOID, count);
	for (int i = 0; i < count; i++)
	{
		if (!kgw_batch_has_fate(&settlements[i], KGW_FATE_RETRY))
			continue;
		kgw_batch_add(&ids, Int64GetDatum(settlements[i].row->delivery_id));
		kgw_batch_add(&attempts, Int32GetDatum(settlements[i].attempt->number));
		kgw_batch_add(&undone, Int32GetDatum(settlements[i].undone ? 1 : 0));
		kgw_batch_add(&times, TimestampTzGetDatum(settlements[i].next_attempt_at));
		kgw_batch_add(&refusals, TimestampTzGetDatum(settlements[i].refused_at ?
												 settlements[i].refused_at : DT_NOBEGIN));
		kgw_batch_add(&held, Int64GetDatum(settlements[i].held));
		kgw_batch_add(&wishes, TimestampTzGetDatum(settlements[i].not_before ?
											   settlements[i].not_before : DT_NOBEGIN));
	}
	if (ids.count == 0)
		return 0;
	kgw_saved_plan(&kept,
			 "UPDATE kgwebhook.queue q"
			 "   SET attempts = v.attempts, next_attempt_at = v.next_attempt_at,"
			 "       attempts_before = q.attempts_before OPERATOR(pg_catalog.+) v.undone,"
			 "       refused_at = CASE WHEN pg_catalog.isfinite(v.refused_at) THEN v.refused_at END,"
			 "       held = v.held,"
			 "       not_before = CASE WHEN pg_catalog.isfinite(v.not_before) THEN v.not_before END"
			 "  FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3),"
			 "                  pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6),"
			 "                  pg_catalog.unnest($7))"
			 "    AS v(delivery_id, attempts, undone, next_attempt_at, refused_at, held, not_before)"
			 " WHERE q.delivery_id OPERATOR(pg_catalog.=) v.delivery_id", 7, types);
	args[0] = kgw_batch_datum(&ids);
	args[1] = kgw_batch_datum(&attempts);
	args[2] = kgw_batch_datum(&undone);
	args[3] = kgw_batch_datum(&times);
	args[4] = kgw_batch_datum(&refusals);
	args[5] = kgw_batch_datum(&held);
	args[6] = kgw_batch_datum(&wishes);
	return kgw_batch_execute(kept, args, SPI_OK_UPDATE, ids.count);
}

#ifdef USE_ASSERT_CHECKING
/* No delivery has two outcomes in a batch: the second would undo the first. */
static void
deliveries_are_distinct(const KgwSettlement *settlements, int count)
{
	int64	   *ids = palloc(Max(count, 1) * sizeof(int64));

	for (int i = 0; i < count; i++)
		ids[i] = settlements[i].row->delivery_id;
	qsort(ids, count, sizeof(int64), compare_delivery_ids);
	for (int i = 1; i < count; i++)
		Assert(ids[i - 1] < ids[i]);
	pfree(ids);
}

/* Each fate has what it needs, and is one that its outcome can have. */
static void
fates_are_complete(const KgwSettlement *settlements, int count)
{
	for (int i = 0; i < count; i++)
	{
		const KgwSettlement *it = &settlements[i];
		bool		taken = it->attempt->outcome == KGW_ACKNOWLEDGED;

		Assert(it->held >= 0);
		Assert(!it->undone || it->fate == KGW_FATE_RETRY);
		switch (it->fate)
		{
			case KGW_FATE_DONE:
				Assert(taken || it->attempt->outcome == KGW_SUPERSEDED);
				break;
			case KGW_FATE_DEAD:
				Assert(!taken);
				Assert(it->reason != NULL);
				break;
			case KGW_FATE_RETRY:
				Assert(!taken);
				Assert(it->next_attempt_at != 0);
				Assert(it->undone || it->next_attempt_at >= it->not_before);
				break;
		}
	}
}

/* Whatever is settled has its row of the log. */
static void
all_are_logged(const KgwSettlement *settlements, int count)
{
	for (int i = 0; i < count; i++)
		Assert(settlements[i].locked || settlements[i].attempt_id > 0);
}
#endif

/*
 * Log the attempts and do to the queue what became of their deliveries.  Needs
 * SPI to be connected, in a transaction of its own.
 */
void
kgw_settle(KgwSettlement *settlements, int count)
{
	int			missing;

#ifdef USE_ASSERT_CHECKING
	deliveries_are_distinct(settlements, count);
	fates_are_complete(settlements, count);
#endif
	kgw_settle_log(settlements, count);
	KGW_POINT("logged");
#ifdef USE_ASSERT_CHECKING
	all_are_logged(settlements, count);
#endif
	missing = settle_done(settlements, count);
	missing += kgw_dead_letters_settle(settlements, count);
	missing += settle_retries(settlements, count);
	if (missing > 0)
		kgw_forgotten_blank(settlements, count);
	KGW_POINT("dequeued");
	kgw_verified_settle(settlements, count);
	kgw_subscription_health_settle(settlements, count);
}
