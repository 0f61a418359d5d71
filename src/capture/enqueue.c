/*-------------------------------------------------------------------------
 *
 * enqueue.c
 *	  Putting a delivery into kgwebhook.queue, in the caller's transaction.
 *
 * This is the whole price that a payment pays for its callback, so the row is
 * formed and inserted directly, by the same executor routine that logical
 * replication uses, rather than by an INSERT through SPI: no plan, no
 * permission check of a role that has no rights here on purpose.
 *
 * The delivery's number comes from a sequence without cache.  Transitions of
 * one object are serialized by the row lock of its payment, so their numbers
 * rise in commit order; a cached sequence would break that, and with it the
 * order in which an object's transitions are sent.  Within one transaction,
 * event_order.c sees to it.
 *
 * Nothing is judged here, not even the URL.
 *
 * src/capture/enqueue.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "commands/sequence.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "capture/enqueue.h"
#include "pg/database_identity.h"
#include "pg/extension.h"
#include "pure/url.h"
#include "shmem/commit_callback.h"

/* In a webhook-id. */
#define RANDOM_BYTES 16

/* Columns of kgwebhook.queue, from 0. */
enum
{
	QUEUE_DELIVERY_ID, QUEUE_WEBHOOK_ID, QUEUE_ORG_ID, QUEUE_EVENT, QUEUE_KIND,
	QUEUE_OBJECT_ID, QUEUE_URL, QUEUE_DESTINATION, QUEUE_PAYLOAD,
	QUEUE_ATTEMPTS, QUEUE_NEXT_ATTEMPT_AT, QUEUE_ENQUEUED_AT, QUEUE_XID,
	QUEUE_PROBLEM, QUEUE_ORIGIN, QUEUE_ATTEMPTS_BEFORE,
	QUEUE_SUBSCRIPTION_ID, QUEUE_COLUMNS
};

/*
 * A new webhook-id: 128 random bits, because it has to be unlike those of every
 * other server whose events the receiver gets, restored copies included.  They
 * are drawn for many at once: the generator works by the call.
 */
void
kgw_enqueue_webhook_id(char id[KGW_WEBHOOK_ID_SIZE])
{
	static uint8 drawn[32 * RANDOM_BYTES];
	static int	left;

	if (left == 0 && !pg_strong_random(drawn, sizeof(drawn)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a webhook-id"),
				 errdetail("The source of random numbers failed.")));
	if (left == 0)
		left = sizeof(drawn);
	left -= RANDOM_BYTES;
	memcpy(id, "msg_", 4);
	hex_encode((const char *) drawn + left, RANDOM_BYTES, id + 4);
	id[KGW_WEBHOOK_ID_SIZE - 1] = '\0';
}

/*
 * The webhook-id of an event whose row has a version: the same wherever and however
 * often the event is made.  So a node that takes over from a lost one can send again
 * what is in doubt, and receivers drop what they had.
 */
void
kgw_enqueue_webhook_id_of(char id[KGW_WEBHOOK_ID_SIZE], const KgwNewDelivery *event,
						  const char *version)
{
	const char *parts[] = {event->org_id, event->kind, event->object_id, event->event, version};
	uint8		hash[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);
	bool		done = context != NULL && pg_cryptohash_init(context) == 0;

	for (size_t i = 0; i < lengthof(parts) && done; i++)
		done = pg_cryptohash_update(context, (const uint8 *) parts[i], strlen(parts[i]) + 1) == 0;
	done = done && pg_cryptohash_final(context, hash, sizeof(hash)) == 0;
	pg_cryptohash_free(context);
	if (!done)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a webhook-id"),
				 errdetail("SHA-256 failed.")));
	memcpy(id, "msg_", 4);
	hex_encode((const char *) hash, RANDOM_BYTES, id + 4);
	id[KGW_WEBHOOK_ID_SIZE - 1] = '\0';
}

/* The next delivery's number. */
int64
kgw_enqueue_next_number(void)
{
	return nextval_internal(kgw_extension_relation("delivery_id_seq"), false);
}

static void
fill(Datum values[QUEUE_COLUMNS], bool isnull[QUEUE_COLUMNS], const KgwNewDelivery *delivery)
{
	KgwUrl		url;
	bool		well_formed = kgw_url_parse(delivery->url, strlen(delivery->url), &url) == NULL;

	memset(isnull, 0, QUEUE_COLUMNS * sizeof(bool));
	values[QUEUE_DELIVERY_ID] = Int64GetDatum(delivery->delivery_id != 0 ? delivery->delivery_id :
											  kgw_enqueue_next_number());
	values[QUEUE_WEBHOOK_ID] = CStringGetTextDatum(delivery->webhook_id);
	values[QUEUE_ORG_ID] = CStringGetTextDatum(delivery->org_id);
	values[QUEUE_EVENT] = CStringGetTextDatum(delivery->event);
	values[QUEUE_KIND] = CStringGetTextDatum(delivery->kind);
	values[QUEUE_OBJECT_ID] = CStringGetTextDatum(delivery->object_id);
	values[QUEUE_URL] = CStringGetTextDatum(delivery->url);
	values[QUEUE_DESTINATION] = CStringGetTextDatum(well_formed ? url.destination : "");
	values[QUEUE_PAYLOAD] = JsonbPGetDatum(delivery->payload);
	values[QUEUE_ATTEMPTS] = Int32GetDatum(0);
	values[QUEUE_ATTEMPTS_BEFORE] = Int32GetDatum(0);
	values[QUEUE_NEXT_ATTEMPT_AT] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	values[QUEUE_ENQUEUED_AT] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	values[QUEUE_XID] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	values[QUEUE_ORIGIN] = Int64GetDatum(kgw_database_identity_origin());
	if (delivery->problem != NULL)
		values[QUEUE_PROBLEM] = CStringGetTextDatum(delivery->problem);
	else
		isnull[QUEUE_PROBLEM] = true;
	values[QUEUE_SUBSCRIPTION_ID] = Int64GetDatum(delivery->subscription_id);
	isnull[QUEUE_SUBSCRIPTION_ID] = delivery->subscription_id == 0;
}

/*
 * The table may be a newer version's, with columns that we don't know, or an
 * older one's that lacks some (see version.c).
 */
static void
fill_queue_slot(TupleTableSlot *slot, const KgwNewDelivery *delivery)
{
	Datum		values[QUEUE_COLUMNS];
	bool		isnull[QUEUE_COLUMNS];
	int			columns = slot->tts_tupleDescriptor->natts;

	fill(values, isnull, delivery);
	ExecStoreAllNullTuple(slot);
	memcpy(slot->tts_values, values, Min(columns, QUEUE_COLUMNS) * sizeof(Datum));
	memcpy(slot->tts_isnull, isnull, Min(columns, QUEUE_COLUMNS) * sizeof(bool));

	/* kgwebhook.held has the queue's columns, and this */
	if (delivery->held_for != NULL)
	{
		slot->tts_values[columns - 1] = CStringGetTextDatum(delivery->held_for);
		slot->tts_isnull[columns - 1] = false;
	}
}

/*
 * Insert a delivery and have the worker woken at commit; returns its number.  One of an
 * organization that another node has not released yet is held back beside the queue.  The
 * strings and the payload are copied.
 */
int64
kgw_enqueue(const KgwNewDelivery *delivery)
{
	bool		held = delivery->held_for != NULL;
	Relation	rel = table_open(kgw_extension_relation(held ? "held" : "queue"), RowExclusiveLock);
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *target = makeNode(ResultRelInfo);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	int64		delivery_id;

	InitResultRelInfo(target, rel, 0, NULL, 0);
	ExecOpenIndices(target, false);
	fill_queue_slot(slot, delivery);
	delivery_id = DatumGetInt64(slot->tts_values[QUEUE_DELIVERY_ID]);
	ExecSimpleRelationInsert(target, estate, slot);

	ExecCloseIndices(target);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
	table_close(rel, NoLock);

	if (!held)
		kgw_commit_callback_wake(1);
	return delivery_id;
}
