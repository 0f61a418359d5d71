/*-------------------------------------------------------------------------
 *
 * examine.c
 *	  kg_examine(): sends a receiver good requests and bad ones, and says which it
 *	  wrongly accepted or refused.
 *
 * The requests are made, signed and sent by the code of real ones, one after the other:
 * a duplicate has to arrive after its first, and an older status after the newer.
 * What must be refused has an identifier of its own; so a receiver that knows the
 * one before can't take it for a duplicate.
 *
 * A receiver accepts with 2xx and refuses with 4xx.  429 asks to come again later, and 5xx
 * is a program that fell over: neither is a judgment, so neither is right.  From outside
 * nobody sees whether the work of a duplicate was done twice; only that it was not
 * refused, for what is refused is sent again for days.  After a request that
 * got no answer the exam is over: a receiver that hangs would cost the timeout
 * each time, and the rest would prove nothing.
 *
 * In a rotation the good requests are as they are now.  Two more are as they are on
 * each side of the activation, and one as after the retirement, so
 * that a receiver that has not got the new secret is found before that.
 *
 * Each attempt is logged, with is_test: the log has everything that was sent, and who
 * asks why a receiver failed needs the bytes and its answer.  Rows with
 * is_test are in no statistics, no list of deliveries and no event of
 * kg_events_since().  The counters of kgwebhook.stats leave an exam out: its
 * refusals are what it wants, and must not set off an alert.
 *
 * A request from the future is signed rightly, and can be replayed until its time
 * has come and gone.  So it is a quarter of an hour ahead and no more, and its
 * payment is a test's, which receivers do nothing about.
 *
 * src/trial/examine.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/sequence.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/tuplestore.h"

#include "api/arguments.h"
#include "api/caller.h"
#include "api/keys/secrets.h"
#include "capture/enqueue.h"
#include "pg/clock.h"
#include "pg/encoding.h"
#include "pg/extension.h"
#include "trial/test_delivery.h"

PG_FUNCTION_INFO_V1(kg_examine);

/* How far a stamp is off, seconds; receivers take five minutes. */
#define OFF_BY 900

typedef enum KgwExamSigning
{
	KGW_EXAM_AS_EVER,
	KGW_EXAM_FOREIGN,			/* by a secret that nobody has */
	KGW_EXAM_BEFORE_ACTIVATION,
	KGW_EXAM_AFTER_ACTIVATION,
	KGW_EXAM_AFTER_RETIREMENT
} KgwExamSigning;

typedef enum KgwExamSubject
{
	KGW_EXAM_NEW_OBJECT,
	KGW_EXAM_SAME_EVENT,		/* the one before, again */
	KGW_EXAM_SAME_OBJECT,		/* another event of the one before */
	KGW_EXAM_MORE_MEMBERS,
	KGW_EXAM_UNKNOWN_EVENT
} KgwExamSubject;

typedef struct KgwExamQuestion
{
	const char *name;
	bool		accept;			/* what a receiver should do */
	const char *status;
	KgwExamSubject subject;
	KgwExamSigning signing;
	int			off_by;
} KgwExamQuestion;

static const KgwExamQuestion questions[] = {
	{"good request", true, "success", KGW_EXAM_NEW_OBJECT, KGW_EXAM_AS_EVER, 0},
	{"duplicate webhook-id", true, "success", KGW_EXAM_SAME_EVENT, KGW_EXAM_AS_EVER, 0},
	{"older status after a newer", true, "pending", KGW_EXAM_SAME_OBJECT, KGW_EXAM_AS_EVER, 0},
	{"unknown members", true, "success", KGW_EXAM_MORE_MEMBERS, KGW_EXAM_AS_EVER, 0},
	{"unknown event type", true, "unknown", KGW_EXAM_UNKNOWN_EVENT, KGW_EXAM_AS_EVER, 0},
	{"rotation: before the activation", true, "success", KGW_EXAM_NEW_OBJECT, KGW_EXAM_BEFORE_ACTIVATION, 0},
	{"rotation: after the activation", true, "success", KGW_EXAM_NEW_OBJECT, KGW_EXAM_AFTER_ACTIVATION, 0},
	{"rotation: after the retirement", true, "success", KGW_EXAM_NEW_OBJECT, KGW_EXAM_AFTER_RETIREMENT, 0},
	{"wrong signature", false, "success", KGW_EXAM_NEW_OBJECT, KGW_EXAM_FOREIGN, 0},
	{"stale timestamp", false, "success", KGW_EXAM_NEW_OBJECT, KGW_EXAM_AS_EVER, -OFF_BY},
	{"future timestamp", false, "success", KGW_EXAM_NEW_OBJECT, KGW_EXAM_AS_EVER, OFF_BY}
};

/* What signs; it is malloc's, and goes with the memory context. */
typedef struct KgwExam
{
	MemoryContextCallback end;
	KgwKeyring	keyring;
	KgwSigner  *foreign;
	bool		rotation;		/* is on its way */
	KgwDelivery row;			/* of the latest question */
} KgwExam;

static void
free_signers(void *arg)
{
	KgwExam    *exam = arg;

	kgw_keyring_clear(&exam->keyring);
	kgw_signature_signer_free(exam->foreign);
}

/* A signer by random bytes. */
static KgwSigner *
new_foreign(void)
{
	text	   *secret = kgw_secrets_make();
	KgwSigner  *signer = kgw_signature_signer_new(VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret));

	explicit_bzero(VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret));
	if (signer == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return signer;
}

/* The organization's subscription with this URL, or 0: it is examined as what its deliveries are. */
static int64
subscription_of(const char *org_id, const char *url)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		args[] = {CStringGetTextDatum(org_id), CStringGetTextDatum(url)};
	bool		isnull;

	if (SPI_execute_with_args("SELECT subscription_id FROM kgwebhook.subscription"
							  " WHERE org_id OPERATOR(pg_catalog.=) $1 AND url OPERATOR(pg_catalog.=) $2",
							  2, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.subscription");
	return SPI_processed == 0 ? 0 :
		DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

static KgwExam *
new_exam(const char *org_id, const char *url, const char *destination)
{
	KgwExam    *exam = palloc0(sizeof(KgwExam));
	KgwSigner  *signers[KGW_KEYRING_MAX];

	exam->end.func = free_signers;
	exam->end.arg = exam;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &exam->end);
	exam->row.subscription_id = subscription_of(org_id, url);
	kgw_test_delivery_keyring(org_id, exam->row.subscription_id, &exam->keyring);
	exam->foreign = new_foreign();
	exam->rotation = kgw_keyring_signers(&exam->keyring, kgw_clock_unix(), signers) > 1;
	exam->row.org_id = kgw_test_delivery_wire(org_id);
	exam->row.url = url;
	exam->row.destination = destination;
	return exam;
}

/* The signers of a request, the body's first; returns how many. */
static int
choose_signers(const KgwExam *exam, KgwExamSigning signing, KgwSigner *signers[KGW_KEYRING_MAX])
{
	const KgwKeyring *keyring = &exam->keyring;

	switch (signing)
	{
		case KGW_EXAM_AS_EVER:
			break;
		case KGW_EXAM_FOREIGN:
			signers[0] = exam->foreign;
			return 1;
		case KGW_EXAM_BEFORE_ACTIVATION:
			signers[0] = keyring->current;
			signers[1] = keyring->next;
			return 2;
		case KGW_EXAM_AFTER_ACTIVATION:
			signers[0] = keyring->next;
			signers[1] = keyring->current;
			return 2;
		case KGW_EXAM_AFTER_RETIREMENT:
			signers[0] = keyring->next;
			return 1;
	}
	return kgw_keyring_signers(keyring, kgw_clock_unix(), signers);
}

static const char *
payment_payload(const KgwDelivery *row, const char *status, bool more)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoString(&json, "{\"payment_intent_id\":");
	escape_json(&json, row->object_id);
	appendStringInfo(&json, ",\"status\":\"%s\"", status);
	appendStringInfoString(&json,
						   ",\"payment_chain_id\":\"1\",\"symbol\":\"USDT\","
						   "\"fiat_amount\":\"300.0\",\"fiat_currency\":\"USD\","
						   "\"crypto_amount\":\"300.0\",\"received_crypto_amount\":\"300.0\","
						   "\"payment_tx_hash\":null,\"order_data\":{\"test\":true},"
						   "\"callback_url\":");
	escape_json(&json, row->url);
	if (more)
		appendStringInfoString(&json, ",\"added_later\":{\"list\":[1,null,\"x\"]},\"added_too\":false");
	appendStringInfoChar(&json, '}');
	return json.data;
}

/* Make the row of a question out of that of the one before it. */
static void
ask(KgwDelivery *row, const KgwExamQuestion *question)
{
	row->delivery_id = nextval_internal(kgw_extension_relation("delivery_id_seq"), false);
	row->attempts = 0;
	if (question->subject == KGW_EXAM_SAME_EVENT)
	{
		row->attempts = 1;
		return;
	}
	row->webhook_id = palloc(KGW_WEBHOOK_ID_SIZE);
	kgw_enqueue_webhook_id((char *) row->webhook_id);
	if (question->subject != KGW_EXAM_SAME_OBJECT)
		row->object_id = psprintf("pi_test_%s", row->webhook_id + 4);
	row->kind = question->subject == KGW_EXAM_UNKNOWN_EVENT ? "kgwebhook_test" : "payment_intent";
	row->event = psprintf("%s.%s", row->kind, question->status);
	if (question->subject == KGW_EXAM_UNKNOWN_EVENT)
		row->payload = psprintf("{\"type\":\"%s\",\"test_id\":\"%s\"}", row->event, row->object_id);
	else
		row->payload = payment_payload(row, question->status,
									   question->subject == KGW_EXAM_MORE_MEMBERS);
	row->payload_len = strlen(row->payload);
}

static bool
refuses(const KgwAttempt *attempt)
{
	return attempt->outcome == KGW_REJECTED && attempt->response_status >= 400 &&
		attempt->response_status <= 499 && attempt->response_status != 429;
}

/* What was seen, in words. */
static const char *
describe_answer(const KgwAttempt *attempt)
{
	const char *error = attempt->error == NULL ? "" :
		kgw_encoding_from_wire(attempt->error, strlen(attempt->error));

	if (attempt->outcome == KGW_ACKNOWLEDGED)
		return psprintf("accepted with status %d", attempt->response_status);
	if (refuses(attempt))
		return psprintf("refused with status %d", attempt->response_status);
	if (attempt->outcome == KGW_REJECTED)
		return error;
	return psprintf("%s: %s", kgw_outcome_name(attempt->outcome), error);
}

/* The row of a question; attempt may be NULL: it was not asked. */
static void
return_verdict(ReturnSetInfo *result, const KgwExamQuestion *question, const KgwAttempt *attempt)
{
	Datum		values[4];
	bool		nulls[4] = {false};

	values[0] = CStringGetTextDatum(question->name);
	values[1] = CStringGetTextDatum(question->accept ? "accepted" : "refused");
	if (attempt == NULL)
	{
		values[2] = CStringGetTextDatum("not sent");
		nulls[3] = true;
	}
	else
	{
		values[2] = CStringGetTextDatum(describe_answer(attempt));
		values[3] = BoolGetDatum(question->accept ? attempt->outcome == KGW_ACKNOWLEDGED : refuses(attempt));
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Send one, log it, and say what came back; false when there was no answer. */
static bool
examine(ReturnSetInfo *result, KgwExam *exam, const KgwExamQuestion *question)
{
	KgwTests   *tests = kgw_test_delivery_new(1);
	KgwTest    *test = &tests->test[0];
	KgwSigner  *signers[KGW_KEYRING_MAX];
	int			count = choose_signers(exam, question->signing, signers);
	KgwKeyring	keys = exam->keyring;	/* a view: what is in it stays the exam's */

	/* a sender with another secret has none of the organization's keys, but still has to get in */
	if (question->signing == KGW_EXAM_FOREIGN)
		keys.key = keys.next_key = NULL;
	ask(&exam->row, question);
	test->row = exam->row;
	test->prepared = kgw_attempt_prepare_as(&test->attempt, &test->row, signers, count,
											&keys,
											kgw_clock_unix() + question->off_by,
											exam->keyring.fault);
	kgw_test_delivery_send(tests);
	(void) kgw_test_delivery_log(test);
	return_verdict(result, question, &test->attempt);
	return test->attempt.response_status != 0;
}

/*
 * kg_examine(url text, org_id text) -> setof (probe, expected, seen, ok)
 */
Datum
kg_examine(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	text	   *org_id = kgw_arguments_org_id(fcinfo, 1);
	ErrorContextCallback context;
	KgwUrl		parsed;
	const char *url;
	KgwExam    *exam;
	bool		answered = true;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	kgw_caller_check_organization(org_id);
	url = kgw_arguments_url(fcinfo, 0, &parsed);
	exam = new_exam(text_to_cstring(org_id), url, pstrdup(parsed.destination));
	kgw_test_delivery_context(&context);
	for (size_t i = 0; i < lengthof(questions); i++)
	{
		if (questions[i].signing >= KGW_EXAM_BEFORE_ACTIVATION && !exam->rotation)
			continue;
		if (answered)
			answered = examine(result, exam, &questions[i]);
		else
			return_verdict(result, &questions[i], NULL);
	}
	error_context_stack = context.previous;
	kgw_test_delivery_warn();
	SPI_finish();
	return (Datum) 0;
}
