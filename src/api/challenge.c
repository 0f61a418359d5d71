/*-------------------------------------------------------------------------
 *
 * challenge.c
 *	  kgwebhook.challenge(): asks a subscription's receiver whether it wants the
 *	  events.
 *
 * A challenge is a delivery like any other: in the transaction that makes or changes the
 * subscription, so that a rollback leaves none, signed, retried by the schedule, given up at its
 * end.  It is put into the queue by hand, as the trigger of a watched table does it, and
 * not by SQL: for that the workers would read their whole queues again.
 *
 * Each is an object of its own, so that none waits behind the one that it replaces.  The
 * member "challenge" is empty here; each attempt has its own (src/send/attempt.c).
 *
 * src/api/challenge.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "api/subscribe.h"
#include "capture/enqueue.h"

PG_FUNCTION_INFO_V1(kg_challenge);

/* Have the subscription wait for this challenge: its row, with organization, URL and payload. */
static HeapTuple
wait_for(int64 subscription_id, const char *webhook_id)
{
	Oid			types[] = {INT8OID, TEXTOID};
	Datum		args[] = {Int64GetDatum(subscription_id), CStringGetTextDatum(webhook_id)};

	if (SPI_execute_with_args("UPDATE kgwebhook.subscription s"
							  "   SET challenge = $2, challenged_at = pg_catalog.clock_timestamp(), verified_at = NULL"
							  " WHERE s.subscription_id OPERATOR(pg_catalog.=) $1"
							  " RETURNING s.org_id, s.url, pg_catalog.jsonb_build_object("
							  "   'type', 'endpoint.challenge', 'event_id', $2, 'challenge', '',"
							  "   'occurred_at', pg_catalog.to_char(pg_catalog.now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),"
							  "   'org_id', s.org_id, 'subscription_id', s.subscription_id::pg_catalog.text, 'url', s.url)",
							  2, types, args, NULL, false, 0) != SPI_OK_UPDATE_RETURNING || SPI_processed == 0)
		elog(ERROR, "could not write kgwebhook.subscription");
	return SPI_tuptable->vals[0];
}

/*
 * kgwebhook.challenge(subscription_id bigint) -> bigint
 */
Datum
kg_challenge(PG_FUNCTION_ARGS)
{
	char		webhook_id[KGW_WEBHOOK_ID_SIZE];
	KgwNewDelivery challenge = {.webhook_id = webhook_id, .object_id = webhook_id, .kind = "endpoint",
	.event = "endpoint.challenge", .subscription_id = PG_GETARG_INT64(0)};
	HeapTuple	tuple;
	TupleDesc	desc;
	bool		isnull;
	int64		delivery_id;

	SPI_connect();
	(void) kgw_subscribe_lock(challenge.subscription_id);
	kgw_enqueue_webhook_id(webhook_id);
	tuple = wait_for(challenge.subscription_id, webhook_id);
	desc = SPI_tuptable->tupdesc;
	challenge.org_id = SPI_getvalue(tuple, desc, 1);
	challenge.url = SPI_getvalue(tuple, desc, 2);
	challenge.payload = DatumGetJsonbP(SPI_getbinval(tuple, desc, 3, &isnull));
	delivery_id = kgw_enqueue(&challenge);
	SPI_finish();
	PG_RETURN_INT64(delivery_id);
}
