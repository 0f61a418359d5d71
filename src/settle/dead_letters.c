/*-------------------------------------------------------------------------
 *
 * dead_letters.c
 *	  Where deliveries go that are given up: from the queue to
 *	  kgwebhook.dead_letter, with the reason.
 *
 * A row goes over as it is in the queue, whole, by the statement that deletes it: so it
 * is in one of the two at any time, and what others have written into it comes along.
 *
 * One that can't be read there (a damaged page, a value that won't unfold) must end
 * somewhere, too, or it would be given up again and again: it goes over as it is in
 * memory, by itself.
 *
 * src/settle/dead_letters.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "pg/encoding.h"
#include "pg/saved_plan.h"
#include "settle/batch.h"
#include "settle/dead_letters.h"

/* A text of a delivery in memory. */
static Datum
text_from_wire(const char *wire, Size len)
{
	return CStringGetTextDatum(kgw_encoding_from_wire(wire, len));
}

/*
 * Move to the dead letters what can't be read from the queue: as it is in memory.
 * Its row says no more than times and numbers.  1 when it was not there any more.
 */
static int
settle_damaged(const KgwSettlement *settlement)
{
	static SPIPlanPtr kept;
	Oid			types[] = {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
	TEXTOID, TEXTOID, TEXTOID, INT4OID};
	const KgwDelivery *row = settlement->row;
	const char *payload = row->payload_len > 0 ? row->payload : "{}";
	const char *texts[] = {row->webhook_id, row->org_id, row->event, row->kind, row->object_id,
	row->url, row->destination, payload, row->problem, settlement->reason};
	Datum		args[12];

	args[0] = Int64GetDatum(row->delivery_id);
	for (int i = 0; i < (int) lengthof(texts); i++)
		args[i + 1] = text_from_wire(texts[i], strlen(texts[i]));
	args[11] = Int32GetDatum(settlement->attempt->number - (settlement->attempt->not_made ? 1 : 0));
	kgw_saved_plan(&kept,
			 "WITH gone AS ("
			 " DELETE FROM kgwebhook.queue WHERE delivery_id OPERATOR(pg_catalog.=) $1"
			 " RETURNING attempts_before, next_attempt_at, enqueued_at, xid, subscription_id)"
			 " INSERT INTO kgwebhook.dead_letter (delivery_id, webhook_id, org_id, event,"
			 " kind, object_id, url, destination, payload, problem, reason, attempts,"
			 " attempts_before, next_attempt_at, enqueued_at, xid, subscription_id)"
			 " SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9::pg_catalog.jsonb, $10, $11, $12,"
			 " attempts_before, next_attempt_at, enqueued_at, xid, subscription_id FROM gone"
			 " ON CONFLICT (delivery_id) DO UPDATE SET attempts = excluded.attempts,"
			 " reason = excluded.reason, died_at = excluded.died_at",
			 12, types);
	return kgw_batch_execute(kept, args, SPI_OK_INSERT, 1);
}

/*
 * Move what is given up from the queue to the dead letters.  One that was put
 * back by hand may still be among them, and must not be stuck for that.  How many were not
 * there any more.
 */
int
kgw_dead_letters_settle(KgwSettlement *settlements, int count)
{
	static SPIPlanPtr kept;
	Oid			types[] = {INT8ARRAYOID, INT4ARRAYOID, TEXTARRAYOID};
	KgwBatchArray	ids,
				attempts,
				reasons;
	Datum		args[3];
	int			missing = 0;

	kgw_batch_init(&ids, INT8OID, count);
	kgw_batch_init(&attempts, INT4OID, count);
	kgw_batch_init(&reasons, TEXTOID, count);
	for (int i = 0; i < count; i++)
	{
		if (!kgw_batch_has_fate(&settlements[i], KGW_FATE_DEAD))
			continue;
		if (settlements[i].row->damaged)
		{
			missing += settle_damaged(&settlements[i]);
			continue;
		}
		kgw_batch_add(&ids, Int64GetDatum(settlements[i].row->delivery_id));
		kgw_batch_add(&attempts, Int32GetDatum(settlements[i].attempt->number -
											(settlements[i].attempt->not_made ? 1 : 0)));
		kgw_batch_add(&reasons, CStringGetTextDatum(kgw_encoding_from_wire(settlements[i].reason,
														   strlen(settlements[i].reason))));
	}
	if (ids.count == 0)
		return missing;
	kgw_saved_plan(&kept,
			 "WITH gone AS ("
			 " DELETE FROM kgwebhook.queue q"
			 "  USING ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3))"
			 "    AS v(delivery_id, attempts, reason)"
			 "  WHERE q.delivery_id OPERATOR(pg_catalog.=) v.delivery_id"
			 " RETURNING q.*, v.attempts AS made, v.reason)"
			 " INSERT INTO kgwebhook.dead_letter (delivery_id, webhook_id, org_id, event,"
			 " kind, object_id, url, destination, payload, attempts, attempts_before, next_attempt_at,"
			 " enqueued_at, xid, problem, reason, subscription_id)"
			 " SELECT delivery_id, webhook_id, org_id, event, kind, object_id, url, destination,"
			 " payload, made, attempts_before, next_attempt_at, enqueued_at, xid, problem, reason,"
			 " subscription_id FROM gone"
			 " ON CONFLICT (delivery_id) DO UPDATE SET attempts = excluded.attempts,"
			 " next_attempt_at = excluded.next_attempt_at, reason = excluded.reason,"
			 " died_at = excluded.died_at",
			 3, types);
	args[0] = kgw_batch_datum(&ids);
	args[1] = kgw_batch_datum(&attempts);
	args[2] = kgw_batch_datum(&reasons);
	return missing + kgw_batch_execute(kept, args, SPI_OK_INSERT, ids.count);
}
