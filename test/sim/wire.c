/*-------------------------------------------------------------------------
 *
 * wire.c
 *	  The network, and the receivers at its other end.
 *
 * In place of send/http_client.c and all that is below it.  What a receiver will say,
 * and when, is decided as the request goes out.
 *
 * test/sim/wire.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pg/guc.h"
#include "send/http_client.h"
#include "worker/loop_settle.h"

#include "sim.h"

struct KgwHttpRequest
{
	SimRow	   *row;
	void	   *owner;
	KgwTicks	begun;
	KgwTicks	ends;
	KgwResponse response;
	int64		asked;			/* seconds of Retry-After, or -1 */
	char		retry_after[32];
};

static KgwHttpRequest **under_way;	/* a heap, by their ends */
static int	count;
static int	room;
static SimRandom source;

static bool
is_before(const KgwHttpRequest *a, const KgwHttpRequest *b)
{
	return a->ends != b->ends ? a->ends < b->ends : a->row->id < b->row->id;
}

static void
swap(int a, int b)
{
	KgwHttpRequest *tmp = under_way[a];

	under_way[a] = under_way[b];
	under_way[b] = tmp;
}

static void
push(KgwHttpRequest *request)
{
	int			at = count++;

	if (count > room)
	{
		room = Max(room * 2, 256);
		under_way = realloc(under_way, room * sizeof(KgwHttpRequest *));
	}
	under_way[at] = request;
	for (; at > 0 && is_before(under_way[at], under_way[(at - 1) / 2]); at = (at - 1) / 2)
		swap(at, (at - 1) / 2);
}

static KgwHttpRequest *
pop(void)
{
	KgwHttpRequest *first = under_way[0];
	int			at = 0;

	under_way[0] = under_way[--count];
	for (;;)
	{
		int			least = at;

		for (int child = 2 * at + 1; child <= 2 * at + 2; child++)
			if (child < count && is_before(under_way[child], under_way[least]))
				least = child;
		if (least == at)
			return first;
		swap(at, least);
		at = least;
	}
}

/* Between "least" and "most" milliseconds. */
static KgwTicks
some_time(int least, int most)
{
	return (least + sim_below(&source, most - least + 1)) * INT64CONST(1000);
}

static void
answer(KgwHttpRequest *request, int status, KgwTicks after)
{
	request->response.transport = KGW_HTTP_ANSWERED;
	request->response.status = status;
	request->response.reached = true;
	request->ends = sim_now + after;
}

static void
no_answer(KgwHttpRequest *request, KgwTransport transport, bool reached, KgwTicks after)
{
	request->response.transport = transport;
	request->response.reached = reached;
	request->response.error = "nothing came back";
	request->ends = sim_now + after;
}

/* 429 or 503, with seconds. */
static void
answer_later(KgwHttpRequest *request)
{
	static const int asked[] = {0, 1, 2, 20, 90, 600, 3600, 100000};

	request->asked = asked[sim_below(&source, lengthof(asked))];
	snprintf(request->retry_after, sizeof(request->retry_after), INT64_FORMAT, request->asked);
	request->response.retry_after = request->retry_after;
	request->asked = Min(request->asked, KGW_RETRY_AFTER_CAP);
	answer(request, sim_chance(&source, 50) ? 429 : 503, some_time(1, 50));
}

static void
fail_somehow(KgwHttpRequest *request)
{
	static const int statuses[] = {500, 502, 503, 401, 403, 404, 302};

	if (sim_chance(&source, 15))
		no_answer(request, KGW_HTTP_UNREACHABLE, true, some_time(1, 100));
	else
		answer(request, statuses[sim_below(&source, lengthof(statuses))], some_time(1, 100));
}

/* A host that can't be reached: at once, or after the whole timeout. */
static void
fail_to_reach(KgwHttpRequest *request, const SimHost *host)
{
	if (host->slow_to_fail)
		no_answer(request, KGW_HTTP_TIMED_OUT, false, kgw_settings.connect_timeout * INT64CONST(1000));
	else
		no_answer(request, sim_chance(&source, 10) ? KGW_HTTP_BLOCKED : KGW_HTTP_UNREACHABLE,
				  false, some_time(1, 30));
}

/* What becomes of a request. */
static void
decide(KgwHttpRequest *request, bool fresh)
{
	const SimRow *row = request->row;

	switch (sim_behavior(row->endpoint))
	{
		case SIM_GOOD:
			answer(request, 200, some_time(1, 150));
			break;
		case SIM_IS_SLOW:
			answer(request, 204, some_time(4000, 12000));
			break;
		case SIM_IS_SILENT:
			no_answer(request, KGW_HTTP_TIMED_OUT, true, kgw_settings.request_timeout * INT64CONST(1000));
			break;
		case SIM_IS_FAILING:
			fail_somehow(request);
			break;
		case SIM_IS_REFUSING:
			answer(request, row->object->id[0] % 3 == 0 ? 422 : 200, some_time(1, 100));
			break;
		case SIM_IS_RATING:
			if (sim_chance(&source, 60))
				answer_later(request);
			else
				answer(request, 200, some_time(1, 100));
			break;
		case SIM_IS_DROPPING:
			if (!fresh && sim_chance(&source, 30))
			{
				no_answer(request, KGW_HTTP_UNREACHABLE, true, some_time(1, 5));
				request->response.dropped = true;
			}
			else
				answer(request, 200, some_time(1, 100));
			break;
		case SIM_IS_GONE:
			answer(request, sim_chance(&source, 20) ? 410 : 200, some_time(1, 100));
			break;
	}
}

bool
kgw_http_client_send(KgwHttp *http, const KgwRequest *asked, void *owner)
{
	KgwHttpRequest *request = calloc(1, sizeof(KgwHttpRequest));
	const KgwJob *job = owner;

	if (source.state == 0)
		source = sim_stream("wire");
	request->row = sim_row(job->row->delivery_id);
	request->owner = owner;
	request->begun = sim_now;
	request->asked = -1;
	request->response.retry_after = request->response.error = request->response.body = "";
	sim_oracle_sent(request->row);
	if (sim_is_down(request->row->endpoint->host))
		fail_to_reach(request, request->row->endpoint->host);
	else
		decide(request, asked->fresh);
	if (request->row->challenge)
	{
		request->response.body = sim_consent_body(request->row, &source);
		request->response.body_len = strlen(request->response.body);
	}
	request->response.duration = request->ends - sim_now;
	push(request);
	return true;
}

KgwHttpRequest *
kgw_http_client_next(KgwHttp *http, void **owner, KgwResponse *response)
{
	KgwHttpRequest *request;

	if (count == 0 || under_way[0]->ends > sim_now)
		return NULL;
	request = pop();
	sim_oracle_answered(request->row, request->response.transport == KGW_HTTP_ANSWERED,
						request->response.reached, request->response.status, request->asked);
	*owner = request->owner;
	*response = request->response;
	return request;
}

void
kgw_http_client_release(KgwHttp *http, KgwHttpRequest *request)
{
	free(request);
}

/* When the next one ends. */
KgwTicks
sim_wire_next(void)
{
	return count > 0 ? under_way[0]->ends : KGW_NEVER;
}

/* The worker is gone, and with it everything that was under way. */
void
sim_wire_cut(void)
{
	for (int i = 0; i < count; i++)
	{
		under_way[i]->row->sending = false;
		under_way[i]->row->endpoint->host->in_flight--;
		free(under_way[i]);
	}
	count = 0;
}

/*
 * What the loop asks of the client besides
 */

KgwHttp *
kgw_http_client_new(void)
{
	return NULL;
}

int
kgw_http_client_fd(const KgwHttp *http)
{
	return -1;
}

KgwTicks
kgw_http_client_deadline(KgwHttp *http)
{
	return KGW_NEVER;
}

void
kgw_http_client_run(KgwHttp *http)
{
}

int
kgw_http_client_hanging(KgwHttp *http)
{
	return 0;
}

void
kgw_http_client_limit(KgwHttp *http, int in_flight, int idle)
{
}

void
kgw_http_client_renew(KgwHttp *http)
{
}
