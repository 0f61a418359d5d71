/*-------------------------------------------------------------------------
 *
 * replay.c
 *	  kg_replay(): an organization's recorded events, once more, to a receiver that
 *	  is being worked on.
 *
 * Each event goes once, in the order in which they happened, and the next one only
 * after the answer to the one before: so that what a receiver does wrong can be seen
 * where it does it.  It has the webhook-id and the members that it had, and is stamped
 * and signed now, because receivers refuse what is older than five minutes.  The header
 * "webhook-replay: true" tells it from a delivery; all else is as the worker sends it,
 * by the same code, with the SSRF filter in the way of every address.
 *
 * A replay is not logged.  The log is what was sent to the customers' receivers, and
 * answers for them: whether an event was acknowledged, how a receiver is, what
 * kg_forget() has to remove.  Copies of payments with numbers of their own
 * would be data that kg_forget() does not find.  So what was answered is returned, and
 * nothing is counted; the server's log says who has sent whose events where.
 *
 * Events are read as they are sent, one at a time: a thousand bodies are more than a
 * backend should hold.  After a request that got no answer the rest is not sent, as in
 * an exam.
 *
 * src/trial/replay.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "api/arguments.h"
#include "api/caller.h"
#include "pg/encoding.h"
#include "trial/test_delivery.h"

PG_FUNCTION_INFO_V1(kg_replay);

/* At most so many events a call. */
#define EVENTS_MAX 1000

/* Columns of kgwebhook.recorded_events(), from 1. */
enum
{
	EVENT_WEBHOOK_ID = 1, EVENT_NAME, EVENT_KIND, EVENT_OBJECT_ID, EVENT_SENT_AT, EVENT_BODY
};

typedef struct KgwReplay
{
	MemoryContextCallback end;
	KgwKeyring	keyring;
	KgwDelivery row;			/* of all of them; then of the latest event, too */
	int			max_events;
	int			replayed;
	bool		answered;
	MemoryContext scratch;		/* of one event */
	ReturnSetInfo *result;
} KgwReplay;

static void
free_keyring(void *arg)
{
	kgw_keyring_clear(&((KgwReplay *) arg)->keyring);
}

/* The subscription whose events are wanted, or 0; it has to be the organization's. */
static int64
subscription_argument(FunctionCallInfo fcinfo, int n, const char *org_id)
{
	Oid			types[] = {INT8OID, TEXTOID};
	Datum		args[2];

	if (PG_ARGISNULL(n))
		return 0;
	args[0] = PG_GETARG_DATUM(n);
	args[1] = CStringGetTextDatum(org_id);
	if (SPI_execute_with_args("SELECT FROM kgwebhook.subscription"
							  " WHERE subscription_id OPERATOR(pg_catalog.=) $1 AND org_id OPERATOR(pg_catalog.=) $2",
							  2, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.subscription");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("subscription %lld does not exist", (long long) PG_GETARG_INT64(n)),
				 errhint("SELECT * FROM kgwebhook.subscriptions shows the existing ones.")));
	return PG_GETARG_INT64(n);
}

/* How many events are wanted, and that it is said since when. */
static int
max_events_argument(FunctionCallInfo fcinfo, int n)
{
	int			max_events;

	if (PG_ARGISNULL(2) || PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("since and max_events must not be null"),
				 errhint("Give the time from which on events are wanted; omit max_events to use its default.")));
	max_events = PG_GETARG_INT32(n);
	if (max_events < 1 || max_events > EVENTS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_events is out of range"),
				 errdetail("A call replays 1 to %d events.", EVENTS_MAX)));
	return max_events;
}

static KgwReplay *
new_replay(FunctionCallInfo fcinfo)
{
	KgwReplay  *replay = palloc0(sizeof(KgwReplay));
	const char *org_id = text_to_cstring(kgw_arguments_org_id(fcinfo, 0));
	KgwUrl		parsed;

	kgw_caller_check_organization(cstring_to_text(org_id));
	replay->row.url = kgw_arguments_url(fcinfo, 1, &parsed);
	replay->row.destination = pstrdup(parsed.destination);
	replay->max_events = max_events_argument(fcinfo, 3);
	replay->row.subscription_id = subscription_argument(fcinfo, 4, org_id);
	replay->end.func = free_keyring;
	replay->end.arg = replay;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &replay->end);
	kgw_test_delivery_keyring(org_id, replay->row.subscription_id, &replay->keyring);
	replay->row.org_id = kgw_test_delivery_wire(org_id);
	replay->scratch = AllocSetContextCreate(CurrentMemoryContext, "kgwebhook replay",
											ALLOCSET_DEFAULT_SIZES);
	replay->answered = true;
	replay->result = (ReturnSetInfo *) fcinfo->resultinfo;
	return replay;
}

/* The events, one more than are to be sent, so that it is seen whether there are more. */
static Portal
open_events(FunctionCallInfo fcinfo, int max_events)
{
	Oid			types[] = {TEXTOID, TIMESTAMPTZOID, INT4OID, INT8OID};
	Datum		args[4];
	char		nulls[] = "    ";

	args[0] = PG_GETARG_DATUM(0);
	args[1] = PG_GETARG_DATUM(2);
	args[2] = Int32GetDatum(max_events + 1);
	args[3] = PG_ARGISNULL(4) ? (Datum) 0 : PG_GETARG_DATUM(4);
	if (PG_ARGISNULL(4))
		nulls[3] = 'n';
	return SPI_cursor_open_with_args(NULL,
									 "SELECT webhook_id, event, kind, object_id, sent_at, body"
									 " FROM kgwebhook.recorded_events($1, $2, $3, $4)",
									 4, types, args, nulls, true, 0);
}

/* A column of the event that was fetched, in UTF-8; what has no such form is marked in *problem. */
static const char *
wire_column(int column, size_t *len, const char **problem)
{
	const char *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);
	const char *wire;

	*len = strlen(value);
	wire = kgw_encoding_to_wire(value, len);
	if (wire != NULL)
		return wire;
	*problem = "some of its text has no UTF-8 form";
	*len = 0;
	return "";
}

/* The delivery that the event which was fetched would be. */
static void
fill_row(KgwDelivery *row)
{
	size_t		len;

	row->problem = NULL;
	row->webhook_id = wire_column(EVENT_WEBHOOK_ID, &len, &row->problem);
	row->event = wire_column(EVENT_NAME, &len, &row->problem);
	row->kind = wire_column(EVENT_KIND, &len, &row->problem);
	row->object_id = wire_column(EVENT_OBJECT_ID, &len, &row->problem);
	row->payload = wire_column(EVENT_BODY, &row->payload_len, &row->problem);
}

/* The row of the event that was fetched; attempt may be NULL: it was not sent, for this reason. */
static void
return_event(KgwReplay *replay, const KgwAttempt *attempt, const char *unsent)
{
	Datum		values[8];
	bool		nulls[8] = {false};
	HeapTuple	tuple = SPI_tuptable->vals[0];
	TupleDesc	desc = SPI_tuptable->tupdesc;
	const char *error = attempt == NULL ? unsent : attempt->error;

	values[0] = SPI_getbinval(tuple, desc, EVENT_WEBHOOK_ID, &nulls[0]);
	values[1] = SPI_getbinval(tuple, desc, EVENT_NAME, &nulls[1]);
	values[2] = SPI_getbinval(tuple, desc, EVENT_OBJECT_ID, &nulls[2]);
	values[3] = SPI_getbinval(tuple, desc, EVENT_SENT_AT, &nulls[3]);
	nulls[4] = attempt == NULL;
	nulls[5] = attempt == NULL || attempt->response_status == 0;
	nulls[6] = attempt == NULL || attempt->response_body == NULL;
	nulls[7] = error == NULL;
	if (!nulls[4])
		values[4] = CStringGetTextDatum(kgw_outcome_name(attempt->outcome));
	if (!nulls[5])
		values[5] = Int32GetDatum(attempt->response_status);
	if (!nulls[6])
		values[6] = CStringGetTextDatum(kgw_encoding_from_wire(attempt->response_body, attempt->response_len));
	if (!nulls[7])
		values[7] = CStringGetTextDatum(kgw_encoding_from_wire(error, strlen(error)));
	tuplestore_putvalues(replay->result->setResult, replay->result->setDesc, values, nulls);
}

static void
send_event(KgwReplay *replay)
{
	KgwTests   *tests = kgw_test_delivery_new(1);
	KgwTest    *test = &tests->test[0];

	fill_row(&replay->row);
	test->row = replay->row;
	test->header = "webhook-replay: true";
	test->prepared = kgw_attempt_prepare(&test->attempt, &test->row, &replay->keyring);
	kgw_test_delivery_send(tests);
	if (test->prepared)
	{
		replay->replayed++;
		replay->answered = test->attempt.response_status != 0;
	}
	return_event(replay, &test->attempt, NULL);
}

/* Deal with the event that was fetched. */
static void
replay_event(KgwReplay *replay)
{
	MemoryContext caller = MemoryContextSwitchTo(replay->scratch);

	CHECK_FOR_INTERRUPTS();
	if (SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, EVENT_BODY) == NULL)
		return_event(replay, NULL, "not sent: kg_forget() has removed its payload");
	else if (!replay->answered)
		return_event(replay, NULL, "not sent: one before it got no answer");
	else
		send_event(replay);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(replay->scratch);
}

/* What an error leaves behind. */
static void
describe_progress(void *arg)
{
	errcontext("Events that have been replayed: %d.  The one after them may have been, too.",
			   ((KgwReplay *) arg)->replayed);
}

static void
replay_events(KgwReplay *replay, Portal events)
{
	ErrorContextCallback context = {error_context_stack, describe_progress, replay};
	int			count = 0;

	error_context_stack = &context;
	for (;;)
	{
		SPI_cursor_fetch(events, true, 1);
		if (SPI_processed == 0)
			break;
		if (++count > replay->max_events)
		{
			ereport(NOTICE,
					(errcode(ERRCODE_SUCCESSFUL_COMPLETION),
					 errmsg("there are more events than were replayed"),
					 errdetail("A call replays the first %d of them.", replay->max_events),
					 errhint("Call it again with a larger max_events, or a later since.")));
			break;
		}
		replay_event(replay);
		SPI_freetuptable(SPI_tuptable);
	}
	error_context_stack = context.previous;
}

/*
 * kg_replay(org_id text, url text, since timestamptz, max_events int, subscription_id bigint)
 * -> setof (webhook_id, event, object_id, sent_at, outcome, response_status, response_body, error)
 */
Datum
kg_replay(PG_FUNCTION_ARGS)
{
	KgwReplay  *replay;
	Portal		events;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	replay = new_replay(fcinfo);
	events = open_events(fcinfo, replay->max_events);
	ereport(LOG_SERVER_ONLY,
			(errmsg("kgwebhook: \"%s\" replays events of organization \"%s\" to %s",
					GetUserNameFromId(kgw_caller_role(), false),
					text_to_cstring(PG_GETARG_TEXT_PP(0)), replay->row.destination)));
	replay_events(replay, events);
	SPI_cursor_close(events);
	SPI_finish();
	return (Datum) 0;
}
