/*-------------------------------------------------------------------------
 *
 * send_test.c
 *	  kg_send_test(): one synthetic, signed callback, now.
 *
 * It proves an integration only if it goes the way of a real delivery; so it
 * makes a row as the queue would hold it and hands it to the same preparation,
 * transfer and log as the worker does.  It runs in the caller's backend,
 * because the answer belongs into the same statement, and because it has to
 * work where nothing is preloaded and nothing enabled.
 *
 * While it waits it can be cancelled like any statement.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "domain/enqueue.h"
#include "domain/settle.h"
#include "domain/trust.h"
#include "pure/url.h"
#include "services/owner.h"
#include "services/secrets.h"
#include "services/settings.h"
#include "services/shared_counters.h"

PG_FUNCTION_INFO_V1(kg_send_test);

static const char *
text_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name),
				 errhint("Leave it out to have its default.")));
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static const char *
url_argument(FunctionCallInfo fcinfo)
{
	const char *url;
	const char *fault;
	KgwUrl		parsed;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no URL to send a test to"),
				 errdetail("None was given."),
				 errhint("SELECT * FROM kg_send_test('https://merchant.example/webhooks').")));
	url = text_to_cstring(PG_GETARG_TEXT_PP(0));
	fault = kgw_url_parse(url, strlen(url), &parsed);
	if (fault == NULL)
		fault = kgw_url_judge(&parsed, kgw_settings.allow_http, kgw_settings.allowed_ports);
	if (fault != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("URL can't be called"),
				 errdetail("The URL is refused: %s.", fault),
				 errhint("Give a URL such as https://merchant.example/webhooks.")));
	return url;
}

/* A payload with every member of design A1. */
static const char *
test_payload(const char *object_id, const char *status, const char *url)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoString(&json, "{\"payment_intent_id\":");
	escape_json(&json, object_id);
	appendStringInfoString(&json, ",\"status\":");
	escape_json(&json, status);
	appendStringInfoString(&json,
						   ",\"payment_chain_id\":\"1\",\"symbol\":\"USDT\","
						   "\"fiat_amount\":\"300.0\",\"fiat_currency\":\"USD\","
						   "\"crypto_amount\":\"300.0\",\"received_crypto_amount\":\"300.0\","
						   "\"payment_tx_hash\":null,\"order_data\":{\"test\":true},"
						   "\"callback_url\":");
	escape_json(&json, url);
	appendStringInfoChar(&json, '}');
	return json.data;
}

static void
make_row(KgwRow *row, const char *url, const char *org_id, const char *status)
{
	char	   *webhook_id = palloc(KGW_WEBHOOK_ID_SIZE);
	KgwUrl		parsed;

	kgw_enqueue_webhook_id(webhook_id);
	(void) kgw_url_parse(url, strlen(url), &parsed);
	memset(row, 0, sizeof(*row));
	row->delivery_id = nextval_internal(kgw_relation_oid("delivery_id_seq"), false);
	row->webhook_id = webhook_id;
	row->org_id = org_id;
	row->event = psprintf("payment_intent.%s", status);
	row->object_id = psprintf("pi_test_%s", webhook_id + 4);
	row->url = url;
	row->destination = pstrdup(parsed.destination);
	row->payload = test_payload(row->object_id, status, url);
	row->payload_len = strlen(row->payload);
}

static void
require_keyring(const char *org_id, KgwKeyring *keyring)
{
	kgw_secrets_read(org_id, keyring);
	if (keyring->fault != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("organisation \"%s\" has no signing secret", org_id),
				 errdetail("Its deliveries wait until it has one."),
				 errhint("SELECT kg_create_secret('%s').", org_id)));
}

/* Wait for the network, or for the caller to lose patience. */
static void
wait_for_network(KgwHttp *http)
{
	KgwTicks	now = kgw_clock_ticks();
	KgwTicks	deadline = Min(kgw_http_deadline(http), now + 1000000);
	long		timeout = deadline <= now ? 0 : (long) ((deadline - now + 999) / 1000);

	(void) WaitLatchOrSocket(MyLatch,
							 WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 kgw_http_fd(http), timeout, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Send the prepared attempt and conclude it. */
static void
send_and_wait(KgwAttempt *attempt, const KgwRow *row)
{
	KgwHttp    *http;
	KgwRequest	request;
	KgwResponse response;
	KgwTransfer *volatile transfer = NULL;
	void	   *owner;

	kgw_http_init();
	kgw_trust_look();
	http = kgw_http_new();
	PG_TRY();
	{
		kgw_attempt_request(attempt, row, &request);
		if (!kgw_http_send(http, &request, NULL))
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("out of memory")));
		for (;;)
		{
			kgw_http_run(http);
			transfer = kgw_http_next(http, &owner, &response);
			if (transfer != NULL)
				break;
			wait_for_network(http);
		}
		kgw_attempt_conclude(attempt, &response);
		kgw_http_release(http, transfer);
	}
	PG_FINALLY();
	{
		kgw_http_free(http);
	}
	PG_END_TRY();
}

/* The log's row of an attempt, as it was written. */
static void
return_log_row(ReturnSetInfo *result, int64 attempt_id)
{
	Oid			types[] = {INT8OID};
	Datum		args[1];

	args[0] = Int64GetDatum(attempt_id);
	if (SPI_execute_with_args("SELECT * FROM kgwebhook.delivery_log"
							  " WHERE attempt_id OPERATOR(pg_catalog.=) $1",
							  1, types, args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.delivery_log");
	for (uint64 i = 0; i < SPI_processed; i++)
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[i]);
}

static void
log_attempt(ReturnSetInfo *result, const KgwRow *row, const KgwAttempt *attempt)
{
	KgwSettlement settlement = {
		.row = row,
		.attempt = attempt,
		.fate = KGW_FATE_DONE,
		.is_test = true
	};

	kgw_settle_log(&settlement, 1);
	kgw_shared_count(attempt->outcome);
	return_log_row(result, settlement.attempt_id);
}

/*
 * kg_send_test(url text, org_id text, status text) -> setof kgwebhook.delivery_log
 */
Datum
kg_send_test(PG_FUNCTION_ARGS)
{
	const char *url = url_argument(fcinfo);
	const char *org_id = text_argument(fcinfo, 1, "org_id");
	const char *status = text_argument(fcinfo, 2, "status");
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	KgwAttempt	attempt = {0};
	KgwKeyring	keyring;
	KgwRow		row;
	bool		prepared;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	make_row(&row, url, org_id, status);
	require_keyring(org_id, &keyring);
	prepared = kgw_attempt_prepare(&attempt, &row, &keyring);
	kgw_keyring_clear(&keyring);
	PG_TRY();
	{
		if (prepared)
			send_and_wait(&attempt, &row);
		log_attempt(result, &row, &attempt);
	}
	PG_FINALLY();
	{
		kgw_attempt_free(&attempt);
	}
	PG_END_TRY();
	SPI_finish();
	return (Datum) 0;
}
