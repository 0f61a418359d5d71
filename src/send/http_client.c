/*-------------------------------------------------------------------------
 *
 * http_client.c
 *	  Many HTTP requests at once, without blocking.
 *
 * libcurl's multi interface, driven by sockets: libcurl says which sockets and
 * which moment it waits for, and those stand in one epoll set whose descriptor
 * the worker can wait for together with its latch.  (curl_multi_poll() would
 * not see the latch.)
 *
 * A socket stays in the epoll set while its connection is kept alive: taking
 * it out after each request and putting it back costs a third of the rate.  An
 * event on a socket that libcurl doesn't wait for means that the other side
 * closed it, or speaks unasked; it is taken out then, and that connection is not
 * used again (http_request.c).
 *
 * Some libcurls (before 8.4) give a silent address of a name up after its share
 * of the time, and then wait for nothing: the next address is only tried when they
 * are called again.  A transfer that has not connected and for which no socket
 * is waited for is "stranded", and that call is made.
 *
 * Transfers are kept for the next request, and with them the connections that
 * libcurl's cache holds.
 *
 * All signals are blocked while libcurl runs.  Threads that it starts for name
 * lookups inherit that, so that no signal for the server is ever delivered to
 * one of them; and no handler can interrupt libcurl half-way.
 *
 * When a lookup takes longer than it may, libcurl gives it up and leaves its
 * thread behind, which asks on for as long as the system's resolver has patience:
 * much longer, by default.  Nobody else knows of these threads, so they are
 * counted here, for the scheduler to keep within bounds.
 *
 * src/send/http_client.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

/* curl_multi_socket_all() is called on purpose: see nudge() */
#define CURL_DISABLE_DEPRECATION

#include <signal.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "send/connection.h"
#include "send/http_client.h"
#include "send/http_request.h"
#include "send/http_request_state.h"

#define EVENTS_AT_ONCE 128

/* That call looks at every transfer: no two of them sooner than this. */
#define NUDGE_PAUSE 20000

/* While there are threads left behind, they are counted this often. */
#define COUNT_PAUSE 100000

struct KgwHttp
{
	CURLM	   *multi;
	int			epoll;
	KgwTicks	deadline;		/* when libcurl wants to be called; or NEVER */
	int			stranded;		/* transfers that libcurl waits for nothing for */
	KgwTicks	nudged_at;
	bool		broken;			/* libcurl has given the multi handle up */
	dlist_head	used;			/* transfers in flight */
	dlist_head	unused;
	int			unused_count;
	bool		left_behind;	/* there may be lookups that were given up */
	int			hanging;		/* how many, when they were counted */
	KgwTicks	counted_at;
};

static int
on_close(void *arg, curl_socket_t fd)
{
	kgw_connection_closed(fd);
	return close(fd);
}

/* libcurl waits for the socket no more. */
static void
let_go(KgwHttp *http, KgwHttpRequest *transfer, curl_socket_t fd)
{
	KgwSocket  *socket = kgw_connection_callback(fd);

	socket->asker = NULL;
	if (transfer != NULL && transfer->sent && socket->ours)
	{
		kgw_connection_idle(fd);
		return;
	}

	/* it is about to be closed, maybe unheard, and its number is another's then */
	if (socket->registered != KGW_SOCKET_ABSENT)
		epoll_ctl(http->epoll, EPOLL_CTL_DEL, fd, NULL);
	socket->registered = KGW_SOCKET_ABSENT;
	if (transfer != NULL && transfer->opened && !transfer->stranded)
	{
		transfer->stranded = true;
		http->stranded++;
	}
}

/* A transfer isn't stranded, or not any more. */
static void
is_afloat(KgwHttp *http, KgwHttpRequest *transfer)
{
	http->stranded -= transfer->stranded;
	transfer->stranded = false;
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	KgwHttp    *http = arg;
	KgwSocket  *socket = kgw_connection_callback(fd);
	KgwHttpRequest *transfer = kgw_http_request_of(easy);
	struct epoll_event event = {0};
	int			wanted = what == CURL_POLL_REMOVE ? 0 : what;

	if (socket == NULL)
		return -1;
	socket->wanted = wanted;
	if (wanted == 0)
		let_go(http, transfer, fd);
	else if (transfer != NULL)
	{
		is_afloat(http, transfer);
		kgw_http_request_waits(transfer, fd, wanted);
	}
	if (wanted == 0 || socket->registered == wanted)
		return 0;
	event.data.fd = fd;
	event.events = ((wanted & CURL_POLL_IN) ? EPOLLIN : 0) |
		((wanted & CURL_POLL_OUT) ? EPOLLOUT : 0);
	if (epoll_ctl(http->epoll,
				  socket->registered == KGW_SOCKET_ABSENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD,
				  fd, &event) != 0)
		return -1;
	socket->registered = wanted;
	return 0;
}

static int
on_timer(CURLM *multi, long milliseconds, void *arg)
{
	KgwHttp    *http = arg;

	http->deadline = milliseconds < 0 ? KGW_NEVER :
		kgw_clock_ticks() + (KgwTicks) milliseconds * 1000;
	return 0;
}

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

/* A client with nothing in flight. */
KgwHttp *
kgw_http_client_new(void)
{
	KgwHttp    *http = calloc(1, sizeof(KgwHttp));

	if (http != NULL)
	{
		dlist_init(&http->used);
		dlist_init(&http->unused);
		http->deadline = KGW_NEVER;
		http->multi = curl_multi_init();
		http->epoll = epoll_create1(EPOLL_CLOEXEC);
	}
	if (http == NULL || http->multi == NULL || http->epoll < 0)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not create the HTTP client")));
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, (long) CURLPIPE_NOTHING);
	return http;
}

/* Free the client; what is still in flight is broken off. */
void
kgw_http_client_free(KgwHttp *http)
{
	while (!dlist_is_empty(&http->used))
	{
		dlist_node *node = dlist_pop_head_node(&http->used);
		KgwHttpRequest *transfer = dlist_container(KgwHttpRequest, node, node);

		curl_multi_remove_handle(http->multi, transfer->easy);
		kgw_http_request_free(transfer);
	}
	kgw_http_client_trim(http, 0);
	curl_multi_cleanup(http->multi);
	close(http->epoll);
	free(http);
}

static KgwHttpRequest *
take_unused(KgwHttp *http)
{
	if (dlist_is_empty(&http->unused))
		return kgw_http_request_new(on_close);
	http->unused_count--;
	return dlist_container(KgwHttpRequest, node, dlist_pop_head_node(&http->unused));
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
	if (!kgw_http_request_prepare(transfer, request) ||
		curl_multi_add_handle(http->multi, transfer->easy) != CURLM_OK)
	{
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
kgw_http_client_deadline(const KgwHttp *http)
{
	KgwTicks	deadline = http->deadline;

	if (http->left_behind)
		deadline = Min(deadline, http->counted_at + COUNT_PAUSE);
	if (http->stranded > 0)
		deadline = Min(deadline, http->nudged_at + NUDGE_PAUSE);
	return deadline;
}

static void
take_action(KgwHttp *http, curl_socket_t fd, int what)
{
	int			running;

	if (curl_multi_socket_action(http->multi, fd, what, &running) != CURLM_OK)
		http->broken = true;
}

static void
act(KgwHttp *http, const struct epoll_event *event)
{
	int			fd = event->data.fd;
	int			what = 0;
	KgwSocket  *socket = kgw_connection_callback(fd);

	if (socket->wanted == 0)
	{
		epoll_ctl(http->epoll, EPOLL_CTL_DEL, fd, NULL);
		socket->registered = KGW_SOCKET_ABSENT;
		return;
	}
	if (socket->asker != NULL && (event->events & EPOLLIN) != 0)
	{
		kgw_http_request_sniff(socket->asker, fd);
		socket->asker = NULL;
	}
	if (event->events & (EPOLLIN | EPOLLHUP))
		what |= CURL_CSELECT_IN;
	if (event->events & EPOLLOUT)
		what |= CURL_CSELECT_OUT;
	if (event->events & EPOLLERR)
		what |= CURL_CSELECT_ERR;
	take_action(http, fd, what);
}

/*
 * Have libcurl look at transfers for which it waits for nothing.  There is no
 * way to name one: curl_multi_socket_action() takes sockets, and those it has none.
 */
static void
nudge(KgwHttp *http)
{
	KgwTicks	now = kgw_clock_ticks();
	int			running;

	if (now < http->nudged_at + NUDGE_PAUSE)
		return;
	http->nudged_at = now;
	if (curl_multi_socket_all(http->multi, &running) != CURLM_OK)
		http->broken = true;
}

/*
 * Do what can be done now, without waiting.  Raises an error when libcurl has
 * given up; what is in flight is then lost to this client.
 */
void
kgw_http_client_run(KgwHttp *http)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	sigset_t	all,
				before;
	int			count;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	if (http->deadline <= kgw_clock_ticks())
	{
		http->deadline = KGW_NEVER;
		take_action(http, CURL_SOCKET_TIMEOUT, 0);
	}
	if (http->stranded > 0)
		nudge(http);
	do
	{
		count = epoll_wait(http->epoll, events, EVENTS_AT_ONCE, 0);
		for (int i = 0; i < count; i++)
			act(http, &events[i]);
	} while (count == EVENTS_AT_ONCE);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (http->broken)
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
send_otherwise(KgwHttp *http, KgwHttpRequest *transfer)
{
	if (!transfer->unfit)
		return false;
	transfer->unfit = false;
	return curl_multi_add_handle(http->multi, transfer->easy) == CURLM_OK;
}

/*
 * The next transfer that has come to its end, or NULL.  The response is good
 * until kgw_http_client_release().
 */
KgwHttpRequest *
kgw_http_client_next(KgwHttp *http, void **owner, KgwResponse *response)
{
	CURLMsg    *message;
	KgwHttpRequest *transfer;
	CURLcode	code;
	int			left;

	do
	{
		do
		{
			message = curl_multi_info_read(http->multi, &left);
			if (message == NULL)
				return NULL;
		} while (message->msg != CURLMSG_DONE);
		code = message->data.result;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
		curl_multi_remove_handle(http->multi, transfer->easy);
	} while (send_otherwise(http, transfer));
	is_afloat(http, transfer);
	dlist_delete(&transfer->node);
	kgw_http_request_result(transfer, code, response);
	if (transfer->resolving && code == CURLE_OPERATION_TIMEDOUT)
		http->left_behind = true;
	*owner = transfer->owner;
	return transfer;
}

/* Give a transfer back that kgw_http_client_next() returned. */
void
kgw_http_client_release(KgwHttp *http, KgwHttpRequest *transfer)
{
	dlist_push_head(&http->unused, &transfer->node);
	http->unused_count++;
}

/* Threads of this process, resolver threads and its own. */
static int
count_threads(void)
{
	struct stat st;

	/* a folder links to itself, is linked from above, and from each in it */
	return stat("/proc/self/task", &st) == 0 ? (int) st.st_nlink - 2 : 1;
}

/*
 * How many lookups were given up while their threads still wait for an answer.
 * A system call every 100 ms while there are any, and otherwise nothing.
 */
int
kgw_http_client_hanging(KgwHttp *http)
{
	KgwTicks	now = kgw_clock_ticks();
	int			resolving = 0;
	dlist_iter	iter;

	if (!http->left_behind || now - http->counted_at < COUNT_PAUSE)
		return http->hanging;
	dlist_foreach(iter, &http->used)
		resolving += dlist_container(KgwHttpRequest, node, iter.cur)->resolving;
	http->hanging = Max(count_threads() - 1 - resolving, 0);
	http->left_behind = http->hanging > 0;
	http->counted_at = now;
	return http->hanging;
}

/* Keep at most so many connections open, in use or idle. */
void
kgw_http_client_keep(KgwHttp *http, int connections)
{
	curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long) Max(connections, 1));
}

/* Free all but "keep" of the transfers that aren't used. */
void
kgw_http_client_trim(KgwHttp *http, int keep)
{
	while (http->unused_count > keep)
	{
		dlist_node *node = dlist_pop_head_node(&http->unused);

		http->unused_count--;
		kgw_http_request_free(dlist_container(KgwHttpRequest, node, node));
	}
}
