/*-------------------------------------------------------------------------
 *
 * http_client.c
 *	  Many HTTP requests at once, without blocking.
 *
 * Requests go by several of libcurl's multi handles (http_multi.c), whose sockets
 * share one epoll set.  A destination always has the same one, which holds its
 * connections and the addresses of its name.  There are several because what a
 * request costs grows with what its handle holds: with libcurl 7.88,
 * curl_multi_remove_handle() alone looks at every connection of the handle, and
 * with thousands in one, a request took four times the CPU that it takes with
 * some hundreds (bench/README.md).
 *
 * When the number in flight is changed, so is the number of handles; and when
 * requests are to leave in another way, no connection of the old one may be kept.  The old
 * ones are retired: they get no more requests, and are freed when they have none.
 *
 * Transfers are kept for the next request, of whatever handle.
 *
 * All signals are blocked while libcurl runs.  Threads that it starts for name
 * lookups inherit that, so that no signal for the server is ever delivered to
 * one of them; and no handler can interrupt libcurl half-way.
 *
 * src/send/http_client.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/hashfn.h"

#include "send/http_client.h"
#include "send/http_multi.h"
#include "send/http_request.h"
#include "send/http_result.h"
#include "send/network/egress.h"
#include "send/network/lookups.h"
#include "send/tls_sessions.h"

#define EVENTS_AT_ONCE 128

/* Requests in flight for which there is one multi handle, and handles at most. */
#define HANDLE_SHARE 256
#define HANDLES 32

struct KgwHttp
{
	int			epoll;
	KgwMulti   *multis[HANDLES];	/* of which requests have one by their destination */
	int			multi_count;
	KgwTlsSessions *sessions;
	uint32		egress;			/* the revision of the multi handles' connections */
	dlist_head	all;			/* KgwMulti, the retired ones, too */
	dlist_head	called;			/* KgwMulti that may have finished transfers */
	dlist_head	used;			/* transfers in flight */
	dlist_head	unused;
	KgwLookups	lookups;		/* that were given up */
};

/* Once a process, before anything else of this file. */
void
kgw_http_client_init(void)
{
	static bool done;

	if (done)
		return;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not initialize libcurl")));
	done = true;
}

/* A client with nothing in flight; kgw_http_client_limit() has to come next. */
KgwHttp *
kgw_http_client_new(void)
{
	KgwHttp    *http = calloc(1, sizeof(KgwHttp));

	if (http != NULL)
	{
		dlist_init(&http->all);
		dlist_init(&http->called);
		dlist_init(&http->used);
		dlist_init(&http->unused);
		http->epoll = epoll_create1(EPOLL_CLOEXEC);
		http->sessions = kgw_tls_sessions_new();
	}
	if (http == NULL || http->epoll < 0 || http->sessions == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not create the HTTP client")));
	return http;
}

static bool
is_retired(const KgwHttp *http, const KgwMulti *multi)
{
	for (int i = 0; i < http->multi_count; i++)
	{
		if (http->multis[i] == multi)
			return false;
	}
	return true;
}

/* Free what is retired and has nothing in flight. */
static void
free_retired(KgwHttp *http)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &http->all)
	{
		KgwMulti   *multi = dlist_container(KgwMulti, node, iter.cur);

		if (multi->in_flight > 0 || !is_retired(http, multi))
			continue;
		dlist_delete(&multi->node);
		kgw_http_multi_free(multi);
	}
}

static void
add_multis(KgwHttp *http, int count)
{
	for (http->multi_count = 0; http->multi_count < count; http->multi_count++)
	{
		KgwMulti   *multi = kgw_http_multi_new(http->epoll, &http->called);

		if (multi == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("could not create the HTTP client")));
		http->multis[http->multi_count] = multi;
		dlist_push_tail(&http->all, &multi->node);
	}
}

/*
 * There will be at most so many requests in flight, and so many connections may be
 * kept idle besides.
 */
void
kgw_http_client_limit(KgwHttp *http, int in_flight, int idle)
{
	int			count = Min((in_flight + HANDLE_SHARE - 1) / HANDLE_SHARE, HANDLES);

	if (count != http->multi_count || http->egress != kgw_egress_revision())
	{
		for (int i = 0; i < http->multi_count; i++)
			kgw_http_multi_keep(http->multis[i], 0);
		add_multis(http, count);
		http->egress = kgw_egress_revision();
		free_retired(http);
	}
	for (int i = 0; i < count; i++)
		kgw_http_multi_keep(http->multis[i], Max(idle / count, 1));
}

/* Free the client; what is still in flight is broken off. */
void
kgw_http_client_free(KgwHttp *http)
{
	while (!dlist_is_empty(&http->used))
	{
		dlist_node *node = dlist_pop_head_node(&http->used);
		KgwHttpRequest *transfer = dlist_container(KgwHttpRequest, node, node);

		kgw_http_multi_remove(transfer->multi, transfer);
		kgw_tls_sessions_leave(http->sessions, transfer);
		kgw_http_request_free(transfer);
	}
	kgw_http_client_renew(http);
	http->multi_count = 0;
	free_retired(http);
	kgw_tls_sessions_free(http->sessions);
	close(http->epoll);
	free(http);
}

static KgwHttpRequest *
take_unused(KgwHttp *http)
{
	if (dlist_is_empty(&http->unused))
		return kgw_http_request_new(kgw_http_multi_on_close);
	return dlist_container(KgwHttpRequest, node, dlist_pop_head_node(&http->unused));
}

/*
 * The handle of a destination.  The seed makes this another hash than that which
 * gives a worker its destinations, or all of one worker's could meet in one handle.
 */
static KgwMulti *
multi_of(const KgwHttp *http, const char *destination)
{
	uint64		hash;

	if (http->multi_count == 1)
		return http->multis[0];
	hash = hash_bytes_extended((const unsigned char *) destination,
							   (int) strlen(destination), 1);
	return http->multis[hash % (uint64) http->multi_count];
}

/*
 * Send a request; "owner" comes back with its response.  Nothing goes over the
 * network before kgw_http_client_run().  False when there is no memory.
 */
bool
kgw_http_client_send(KgwHttp *http, const KgwRequest *request, void *owner)
{
	KgwHttpRequest *transfer = take_unused(http);

	if (transfer == NULL)
		return false;
	transfer->owner = owner;
	transfer->started = kgw_clock_ticks();
	kgw_tls_sessions_join(http->sessions, transfer, request->destination, request->certificate);
	if (!kgw_http_request_prepare(transfer, request) ||
		!kgw_http_multi_add(multi_of(http, request->destination), transfer))
	{
		kgw_tls_sessions_leave(http->sessions, transfer);
		kgw_http_request_free(transfer);
		return false;
	}
	dlist_push_tail(&http->used, &transfer->node);
	return true;
}

/* Readable when there is something for kgw_http_client_run() to do. */
int
kgw_http_client_fd(const KgwHttp *http)
{
	return http->epoll;
}

/* When kgw_http_client_run() has to be called at the latest; KGW_NEVER: needn't be. */
KgwTicks
kgw_http_client_deadline(KgwHttp *http)
{
	KgwTicks	deadline = kgw_lookups_deadline(&http->lookups);
	dlist_iter	iter;

	dlist_foreach(iter, &http->all)
		deadline = Min(deadline,
					   kgw_http_multi_deadline(dlist_container(KgwMulti, node, iter.cur)));
	return deadline;
}

static bool
is_broken(KgwHttp *http)
{
	dlist_iter	iter;

	dlist_foreach(iter, &http->called)
	{
		if (dlist_container(KgwMulti, called_node, iter.cur)->broken)
			return true;
	}
	return false;
}

/*
 * Do what can be done now, without waiting.  Raises an error when libcurl has
 * given up; what is in flight is then lost to this client.
 */
void
kgw_http_client_run(KgwHttp *http)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	KgwTicks	now = kgw_clock_ticks();
	dlist_iter	iter;
	sigset_t	all,
				before;
	int			count;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	dlist_foreach(iter, &http->all)
		kgw_http_multi_tick(dlist_container(KgwMulti, node, iter.cur), now);
	do
	{
		count = epoll_wait(http->epoll, events, EVENTS_AT_ONCE, 0);
		for (int i = 0; i < count; i++)
			kgw_http_multi_act(http->epoll, &events[i]);
	} while (count == EVENTS_AT_ONCE);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (is_broken(http))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("the HTTP client has failed"),
				 errdetail("libcurl cannot continue with its multi handle.")));
}

/*
 * Whether the transfer is to be sent after all, by another connection: the kept
 * one it was given was not fit for it, and nothing has been sent.
 */
static bool
send_otherwise(KgwHttpRequest *transfer)
{
	if (!transfer->unfit)
		return false;
	transfer->unfit = false;
	return kgw_http_multi_add(transfer->multi, transfer);
}

/* A transfer that has come to its end, and how; or NULL. */
static KgwHttpRequest *
take_finished(KgwHttp *http, CURLcode *code)
{
	while (!dlist_is_empty(&http->called))
	{
		KgwMulti   *multi = dlist_head_element(KgwMulti, called_node, &http->called);
		KgwHttpRequest *transfer = kgw_http_multi_finished(multi, code);

		if (transfer != NULL && !send_otherwise(transfer))
			return transfer;
	}
	return NULL;
}

/*
 * The next transfer that has come to its end, or NULL.  The response is good
 * until kgw_http_client_release().
 */
KgwHttpRequest *
kgw_http_client_next(KgwHttp *http, void **owner, KgwResponse *response)
{
	CURLcode	code;
	KgwHttpRequest *transfer = take_finished(http, &code);

	if (transfer == NULL)
		return NULL;
	dlist_delete(&transfer->node);
	kgw_http_result(transfer, code, response);
	if (transfer->resolving && code == CURLE_OPERATION_TIMEDOUT)
		http->lookups.left_behind = true;
	*owner = transfer->owner;
	return transfer;
}

/* Give a transfer back that kgw_http_client_next() returned. */
void
kgw_http_client_release(KgwHttp *http, KgwHttpRequest *transfer)
{
	if (transfer->multi->in_flight == 0 && is_retired(http, transfer->multi))
		free_retired(http);
	transfer->multi = NULL;
	kgw_tls_sessions_leave(http->sessions, transfer);
	kgw_http_request_forget(transfer);
	dlist_push_head(&http->unused, &transfer->node);
}

/* How many lookups were given up while their threads still wait for an answer. */
int
kgw_http_client_hanging(KgwHttp *http)
{
	KgwTicks	now = kgw_clock_ticks();
	int			resolving = 0;
	dlist_iter	iter;

	if (now < kgw_lookups_deadline(&http->lookups))
		return http->lookups.hanging;
	dlist_foreach(iter, &http->used)
		resolving += dlist_container(KgwHttpRequest, node, iter.cur)->resolving;
	return kgw_lookups_count(&http->lookups, resolving, now);
}

/*
 * Forget what was made under other settings: transfers that aren't used, whose
 * handles have their options, and TLS sessions.
 */
void
kgw_http_client_renew(KgwHttp *http)
{
	while (!dlist_is_empty(&http->unused))
		kgw_http_request_free(dlist_container(KgwHttpRequest, node,
											  dlist_pop_head_node(&http->unused)));
	kgw_tls_sessions_forget(http->sessions);
}
