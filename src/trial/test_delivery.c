/*-------------------------------------------------------------------------
 *
 * test_delivery.c
 *	  Deliveries that are sent in the caller's backend and waited for: those of
 *	  kg_send_test(), kg_examine() and kg_replay().
 *
 * While they wait they can be cancelled like any statement.  What went out can't be
 * taken back then, nor when the caller's transaction is rolled back, but its row
 * of the log is the caller's, and goes.  The error, or a notice where there is a
 * transaction that may still end so, says that.
 *
 * src/trial/test_delivery.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"

#include "pg/encoding.h"
#include "secrets/secret_cache.h"
#include "send/network/ca_file.h"
#include "send/network/egress.h"
#include "settle/settle.h"
#include "trial/test_delivery.h"

/* Requests in flight at a time. */
#define TOGETHER 16

static void
free_attempts(void *arg)
{
	KgwTests   *tests = arg;

	for (int i = 0; i < tests->count; i++)
		kgw_attempt_free(&tests->test[i].attempt);
}

/* What their attempts hold is malloc's; it goes with the current memory context. */
KgwTests *
kgw_test_delivery_new(int count)
{
	KgwTests   *tests = palloc0(offsetof(KgwTests, test) + count * sizeof(KgwTest));

	tests->count = count;
	tests->end.func = free_attempts;
	tests->end.arg = tests;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &tests->end);
	return tests;
}

/* What signs for the organization, or a subscription of its (0: none); an error where nothing does.  SPI is connected. */
void
kgw_test_delivery_keyring(const char *org_id, int64 subscription_id, KgwKeyring *keyring)
{
	kgw_secret_cache_read(org_id, subscription_id, false, keyring);
	if (keyring->fault != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("organization \"%s\" has no signing secret", org_id),
				 errdetail("Its deliveries wait until it has one."),
				 errhint("SELECT kg_create_secret('%s').", org_id)));
}

/* A text of the caller's as a delivery has it, in UTF-8; an error where there is no such form. */
const char *
kgw_test_delivery_wire(const char *text)
{
	size_t		len = strlen(text);
	const char *wire = kgw_encoding_to_wire(text, &len);

	if (wire == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
				 errmsg("the request has no UTF-8 form"),
				 errdetail("The encoding of the database is %s, and an identifier, a status or the payload cannot be converted.",
						   GetDatabaseEncodingName()),
				 errhint("Try with an organization and a status that can be converted; an event that cannot be"
						 " becomes a dead letter.")));
	return wire;
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

/* There is room for one more than an attempt has. */
static void
add_request_header(KgwRequest *request, const char *line)
{
	int			count = 0;

	StaticAssertStmt(KGW_HTTP_HEADERS > lengthof(((KgwAttempt *) NULL)->headers), "a request has room for one more header");
	while (request->headers[count] != NULL)
		count++;
	request->headers[count] = line;
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
	add_request_header(&request, test->header);
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

/* Send those that are prepared, and wait for their answers. */
void
kgw_test_delivery_send(KgwTests *tests)
{
	KgwHttp    *volatile http = NULL;

	kgw_http_client_init();
	kgw_ca_file_look();
	PG_TRY();
	{
		kgw_egress_look();
		http = kgw_http_client_new();
		kgw_http_client_limit(http, 1, 1);
		exchange(http, tests);
	}
	PG_FINALLY();
	{
		if (http != NULL)
			kgw_http_client_free(http);
		kgw_egress_forget();
	}
	PG_END_TRY();
}

/* Log what became of one; returns the number of its attempt. */
int64
kgw_test_delivery_log(const KgwTest *test)
{
	KgwSettlement settlement = {
		.row = &test->row,
		.attempt = &test->attempt,
		.fate = KGW_FATE_DONE,
		.is_test = true
	};

	kgw_settle_log(&settlement, 1);
	return settlement.attempt_id;
}

/* A caller who can still roll back is told what that does not undo. */
void
kgw_test_delivery_warn(void)
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

/* From here on an error tells that; until error_context_stack is set to context->previous. */
void
kgw_test_delivery_context(ErrorContextCallback *context)
{
	context->callback = describe_unlogged;
	context->arg = NULL;
	context->previous = error_context_stack;
	error_context_stack = context;
}
