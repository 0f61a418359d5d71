/*-------------------------------------------------------------------------
 *
 * send_test.c
 *	  kg_send_test(): one synthetic, signed callback, now; to a URL, or to all
 *	  active subscriptions of an organization.
 *
 * It proves an integration only if it goes the way of a real delivery; so it
 * makes a row as the queue would hold it and hands it to the same preparation,
 * transfer and log as the worker does.  It runs in the caller's backend,
 * because the answer belongs into the same statement, and because it has to
 * work where nothing is preloaded and nothing enabled.
 *
 * src/trial/send_test.c
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
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "api/arguments.h"
#include "api/caller.h"
#include "capture/enqueue.h"
#include "pg/extension.h"
#include "shmem/counters.h"
#include "trial/test_delivery.h"

PG_FUNCTION_INFO_V1(kg_send_test);

static const char *
text_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name),
				 errhint("Omit it to use its default.")));
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/*
 * Tests to an organization's subscriptions: those that are active, or the one with this URL,
 * whatever its state; NULL where there is none.
 */
static KgwTests *
subscription_tests(const char *org_id, const char *url, char ***shapes)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		args[2];
	KgwTests   *tests;

	args[0] = CStringGetTextDatum(org_id);
	args[1] = url == NULL ? (Datum) 0 : CStringGetTextDatum(url);
	if (SPI_execute_with_args("SELECT subscription_id, url, destination, shape FROM kgwebhook.subscription"
							  " WHERE org_id OPERATOR(pg_catalog.=) $1"
							  "   AND (CASE WHEN $2 IS NULL THEN paused_at IS NULL AND challenge IS NULL AND disabled_at IS NULL"
							  "        ELSE url OPERATOR(pg_catalog.=) $2 END)"
							  " ORDER BY subscription_id",
							  2, types, args, url == NULL ? " n" : NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.subscription");
	if (SPI_processed == 0 && url != NULL)
		return NULL;
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no URL to send a test to"),
				 errdetail("None was given, and organization \"%s\" has no active subscription.", org_id),
				 errhint("Give one, as in SELECT * FROM kg_send_test('https://merchant.example/webhooks'),"
						 " or have the organization subscribe by kg_subscribe();"
						 " kgwebhook.subscriptions shows those that are paused, unverified or disabled.")));
	tests = kgw_test_delivery_new(SPI_processed);
	*shapes = palloc(tests->count * sizeof(char *));
	for (int i = 0; i < tests->count; i++)
	{
		KgwDelivery	   *row = &tests->test[i].row;
		HeapTuple	tuple = SPI_tuptable->vals[i];
		bool		isnull;

		row->subscription_id =
			DatumGetInt64(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull));
		row->url = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 2);
		row->destination = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 3);
		(*shapes)[i] = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 4);
	}
	return tests;
}

/* A test to one URL; to a subscription's it is as the subscription's deliveries are. */
static KgwTests *
url_test(FunctionCallInfo fcinfo, const char *org_id, char ***shapes)
{
	KgwUrl		parsed;
	const char *url = kgw_arguments_url(fcinfo, 0, &parsed);
	KgwTests   *tests = subscription_tests(org_id, url, shapes);

	if (tests != NULL)
		return tests;
	tests = kgw_test_delivery_new(1);
	tests->test[0].row.url = url;
	tests->test[0].row.destination = pstrdup(parsed.destination);
	*shapes = palloc0(sizeof(char *));
	return tests;
}

/* What the event is of which a status is a test, in one shape (install/send_test.sql). */
static void
read_event(KgwDelivery *row, const char *org_id, const char *status, const char *url, const char *shape)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		args[5];
	char		nulls[] = "     ";
	HeapTuple	tuple;
	TupleDesc	desc;

	args[0] = CStringGetTextDatum(status);
	args[1] = CStringGetTextDatum(row->webhook_id);
	args[2] = CStringGetTextDatum(org_id);
	args[3] = url == NULL ? (Datum) 0 : CStringGetTextDatum(url);
	if (url == NULL)
		nulls[3] = 'n';
	args[4] = shape == NULL ? (Datum) 0 : CStringGetTextDatum(shape);
	if (shape == NULL)
		nulls[4] = 'n';
	if (SPI_execute_with_args("SELECT kind, event, object_id, payload"
							  " FROM kgwebhook.test_event($1, $2, $3, $4, $5)",
							  5, types, args, nulls, true, 0) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not make an event to test with");
	tuple = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	row->kind = kgw_test_delivery_wire(SPI_getvalue(tuple, desc, 1));
	row->event = kgw_test_delivery_wire(SPI_getvalue(tuple, desc, 2));
	row->object_id = kgw_test_delivery_wire(SPI_getvalue(tuple, desc, 3));
	row->payload = kgw_test_delivery_wire(SPI_getvalue(tuple, desc, 4));
	row->payload_len = strlen(row->payload);
}

/* Make one event of them: all receivers get the same, each in its shape. */
static void
make_rows(KgwTests *tests, char *const *shapes, const char *url, const char *org_id, const char *status)
{
	char	   *webhook_id = palloc(KGW_WEBHOOK_ID_SIZE);
	KgwDelivery event = {.webhook_id = webhook_id, .org_id = kgw_test_delivery_wire(org_id)};

	kgw_enqueue_webhook_id(webhook_id);
	for (int i = 0; i < tests->count; i++)
	{
		KgwDelivery	   *row = &tests->test[i].row;

		read_event(&event, org_id, status, url, shapes[i]);
		event.delivery_id = nextval_internal(kgw_extension_relation("delivery_id_seq"), false);
		event.subscription_id = row->subscription_id;
		event.url = row->url;
		event.destination = row->destination;
		*row = event;
	}
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

/* Stamp and sign them; those that can't be are over already. */
static void
prepare(KgwTests *tests, const char *org_id)
{
	for (int i = 0; i < tests->count; i++)
	{
		KgwTest    *test = &tests->test[i];
		KgwKeyring	keyring;

		kgw_test_delivery_keyring(org_id, test->row.subscription_id, &keyring);
		test->prepared = kgw_attempt_prepare(&test->attempt, &test->row, &keyring);
		kgw_keyring_clear(&keyring);
	}
}

/* Log what became of them, and return that. */
static void
log_attempts(ReturnSetInfo *result, const KgwTests *tests)
{
	for (int i = 0; i < tests->count; i++)
	{
		int64		attempt_id = kgw_test_delivery_log(&tests->test[i]);

		kgw_counters_add(tests->test[i].attempt.outcome);
		return_log_row(result, attempt_id);
	}
}

/* From here on the error of a call has to tell that there may be something to see. */
static void
send_and_log(ReturnSetInfo *result, KgwTests *tests)
{
	ErrorContextCallback context;

	kgw_test_delivery_context(&context);
	kgw_test_delivery_send(tests);
	log_attempts(result, tests);
	error_context_stack = context.previous;
}

/*
 * kg_send_test(url text, org_id text, status text) -> setof kgwebhook.delivery_log
 */
Datum
kg_send_test(PG_FUNCTION_ARGS)
{
	const char *org_id = text_argument(fcinfo, 1, "org_id");
	const char *status = text_argument(fcinfo, 2, "status");
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	KgwTests   *tests;
	char	  **shapes;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	kgw_caller_check_organization(cstring_to_text(org_id));
	tests = PG_ARGISNULL(0) ? subscription_tests(org_id, NULL, &shapes) : url_test(fcinfo, org_id, &shapes);
	make_rows(tests, shapes, PG_ARGISNULL(0) ? NULL : tests->test[0].row.url, org_id, status);
	prepare(tests, org_id);
	send_and_log(result, tests);
	kgw_test_delivery_warn();
	SPI_finish();
	return (Datum) 0;
}
