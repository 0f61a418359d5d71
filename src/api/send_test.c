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
 * While it waits it can be cancelled like any statement.  What went out can't be
 * taken back then, nor when the caller's transaction is rolled back, but its row
 * of the log is the caller's, and goes.  The error, or a notice where there is a
 * transaction that may still end so, says that.
 *
 * src/api/send_test.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "api/arguments.h"
#include "api/caller.h"
#include "capture/enqueue.h"
#include "pg/encoding.h"
#include "pg/extension.h"
#include "pg/guc.h"
#include "secrets/secret_cache.h"
#include "send/ca_file.h"
#include "settle/settle.h"
#include "shmem/counters.h"

PG_FUNCTION_INFO_V1(kg_send_test);

/* Requests in flight at a time. */
#define TOGETHER 16

typedef struct KgwTest
{
	KgwDelivery		row;
	KgwAttempt	attempt;
	bool		prepared;		/* can be sent */
} KgwTest;

typedef struct KgwTests
{
	MemoryContextCallback end;
	int			count;
	KgwTest		test[FLEXIBLE_ARRAY_MEMBER];
} KgwTests;

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

static void
free_attempts(void *arg)
{
	KgwTests   *tests = arg;

	for (int i = 0; i < tests->count; i++)
		kgw_attempt_free(&tests->test[i].attempt);
}

/* What their attempts hold is malloc's; it goes with the current memory context. */
static KgwTests *
new_tests(int count)
{
	KgwTests   *tests = palloc0(offsetof(KgwTests, test) + count * sizeof(KgwTest));

	tests->count = count;
	tests->end.func = free_attempts;
	tests->end.arg = tests;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &tests->end);
	return tests;
}

/* Tests to all active subscriptions of an organization. */
static KgwTests *
subscription_tests(const char *org_id)
{
	Oid			types[] = {TEXTOID};
	Datum		args[1];
	KgwTests   *tests;

	args[0] = CStringGetTextDatum(org_id);
	if (SPI_execute_with_args("SELECT subscription_id, url, destination FROM kgwebhook.subscription"
							  " WHERE org_id OPERATOR(pg_catalog.=) $1"
							  "   AND paused_at IS NULL AND disabled_at IS NULL"
							  " ORDER BY subscription_id",
							  1, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.subscription");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no URL to send a test to"),
				 errdetail("None was given, and organization \"%s\" has no active subscription.", org_id),
				 errhint("Give one, as in SELECT * FROM kg_send_test('https://merchant.example/webhooks'),"
						 " or have the organization subscribe by kg_subscribe();"
						 " kgwebhook.subscriptions shows those that are paused or disabled.")));
	tests = new_tests(SPI_processed);
	for (int i = 0; i < tests->count; i++)
	{
		KgwDelivery	   *row = &tests->test[i].row;
		HeapTuple	tuple = SPI_tuptable->vals[i];
		bool		isnull;

		row->subscription_id =
			DatumGetInt64(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull));
		row->url = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 2);
		row->destination = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 3);
	}
	return tests;
}

/* A test to one URL. */
static KgwTests *
url_test(FunctionCallInfo fcinfo)
{
	KgwTests   *tests = new_tests(1);
	KgwUrl		parsed;

	tests->test[0].row.url = kgw_arguments_url(fcinfo, 0, &parsed);
	tests->test[0].row.destination = pstrdup(parsed.destination);
	return tests;
}

/* What the event is of which a status is a test (install/send_test.sql), in the first row. */
static void
read_event(KgwDelivery *row, const char *status, const char *url)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		args[4];
	char		nulls[] = "    ";
	HeapTuple	tuple;
	char	   *payload;

	args[0] = CStringGetTextDatum(status);
	args[1] = CStringGetTextDatum(row->webhook_id);
	args[2] = CStringGetTextDatum(row->org_id);
	args[3] = url == NULL ? (Datum) 0 : CStringGetTextDatum(url);
	if (url == NULL)
		nulls[3] = 'n';
	if (SPI_execute_with_args("SELECT kind, event, object_id, payload"
							  " FROM kgwebhook.test_event($1, $2, $3, $4)",
							  4, types, args, nulls, true, 0) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not make an event to test with");
	tuple = SPI_tuptable->vals[0];
	row->kind = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 1);
	row->event = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 2);
	row->object_id = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 3);
	payload = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 4);
	row->payload_len = strlen(payload);
	row->payload = kgw_encoding_to_wire(payload, &row->payload_len);
}

/* Make one event of them: all receivers get the same. */
static void
make_rows(KgwTests *tests, const char *url, const char *org_id, const char *status)
{
	char	   *webhook_id = palloc(KGW_WEBHOOK_ID_SIZE);
	KgwDelivery event = {.webhook_id = webhook_id, .org_id = org_id};

	kgw_enqueue_webhook_id(webhook_id);
	read_event(&event, status, url);
	for (int i = 0; i < tests->count; i++)
	{
		KgwDelivery	   *row = &tests->test[i].row;

		event.delivery_id = nextval_internal(kgw_extension_relation("delivery_id_seq"), false);
		event.subscription_id = row->subscription_id;
		event.url = row->url;
		event.destination = row->destination;
		*row = event;
	}
}

static void
require_keyring(const char *org_id, KgwKeyring *keyring)
{
	kgw_secret_cache_read(org_id, keyring);
	if (keyring->fault != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("organization \"%s\" has no signing secret", org_id),
				 errdetail("Its deliveries wait until it has one."),
				 errhint("SELECT kg_create_secret('%s').", org_id)));
}

/* Wait for the network, or for the caller to lose patience. */
static void
wait_for_network(KgwHttp *http)
{
	KgwTicks	now = kgw_clock_ticks();
	KgwTicks	deadline = Min(kgw_http_client_deadline(http), now + 1000000);
	long		timeout = deadline <= now ? 0 : (long) ((deadline - now + 999) / 1000);

	(void) WaitLatchOrSocket(MyLatch,
							 WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 kgw_http_client_fd(http), timeout, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Begin the next of those that could be prepared; false when there is none. */
static bool
send_next(KgwHttp *http, KgwTests *tests, int *next)
{
	KgwRequest	request;
	KgwTest    *test;

	while (*next < tests->count && !tests->test[*next].prepared)
		(*next)++;
	if (*next == tests->count)
		return false;
	test = &tests->test[(*next)++];
	kgw_attempt_request(&test->attempt, &test->row, &request);
	if (!kgw_http_client_send(http, &request, test))
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return true;
}

/* Send the prepared attempts, some at a time, and conclude them. */
static void
exchange(KgwHttp *http, KgwTests *tests)
{
	KgwHttpRequest *transfer;
	KgwResponse response;
	void	   *owner;
	int			next = 0;
	int			in_flight = 0;

	for (;;)
	{
		while (in_flight < TOGETHER && send_next(http, tests, &next))
			in_flight++;
		if (in_flight == 0)
			return;
		kgw_http_client_run(http);
		transfer = kgw_http_client_next(http, &owner, &response);
		if (transfer == NULL)
		{
			wait_for_network(http);
			continue;
		}
		kgw_attempt_conclude(&((KgwTest *) owner)->attempt, &response);
		kgw_http_client_release(http, transfer);
		in_flight--;
	}
}

static void
send_and_wait(KgwTests *tests)
{
	KgwHttp    *http;

	kgw_http_client_init();
	kgw_ca_file_look();
	http = kgw_http_client_new();
	PG_TRY();
	{
		kgw_http_client_limit(http, 1, 1);
		exchange(http, tests);
	}
	PG_FINALLY();
	{
		kgw_http_client_free(http);
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
log_attempt(ReturnSetInfo *result, const KgwDelivery *row, const KgwAttempt *attempt)
{
	KgwSettlement settlement = {
		.row = row,
		.attempt = attempt,
		.fate = KGW_FATE_DONE,
		.is_test = true
	};

	kgw_settle_log(&settlement, 1);
	kgw_counters_add(attempt->outcome);
	return_log_row(result, settlement.attempt_id);
}

/* Stamp and sign them; those that can't be are over already. */
static void
prepare(KgwTests *tests, const char *org_id)
{
	KgwKeyring	keyring;

	require_keyring(org_id, &keyring);
	for (int i = 0; i < tests->count; i++)
	{
		KgwTest    *test = &tests->test[i];

		test->prepared = kgw_attempt_prepare(&test->attempt, &test->row, &keyring);
	}
	kgw_keyring_clear(&keyring);
}

/* Log what became of them, and return that. */
static void
log_attempts(ReturnSetInfo *result, const KgwTests *tests)
{
	for (int i = 0; i < tests->count; i++)
		log_attempt(result, &tests->test[i].row, &tests->test[i].attempt);
}

/* A caller who can still roll back is told what that does not undo. */
static void
warn_of_rollback(void)
{
	if (IsTransactionBlock() || IsSubTransaction())
		ereport(NOTICE,
				(errcode(ERRCODE_SUCCESSFUL_COMPLETION),
				 errmsg("the log keeps this test only if the transaction commits"),
				 errdetail("It was sent, and a rollback does not change that.")));
}

/* What an error of a call leaves behind. */
static void
describe_unlogged(void *arg)
{
	errcontext("The test may have been sent; the log has no row of it.");
}

/* From here on the error of a call has to tell that there may be something to see. */
static void
send_and_log(ReturnSetInfo *result, KgwTests *tests)
{
	ErrorContextCallback context = {.callback = describe_unlogged,.previous = error_context_stack};

	error_context_stack = &context;
	send_and_wait(tests);
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

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	kgw_caller_check_organization(cstring_to_text(org_id));
	tests = PG_ARGISNULL(0) ? subscription_tests(org_id) : url_test(fcinfo);
	make_rows(tests, PG_ARGISNULL(0) ? NULL : tests->test[0].row.url, org_id, status);
	prepare(tests, org_id);
	send_and_log(result, tests);
	warn_of_rollback();
	SPI_finish();
	return (Datum) 0;
}
