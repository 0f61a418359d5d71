/*-------------------------------------------------------------------------
 *
 * http_multi.c
 *	  One of libcurl's multi handles: its sockets, its timer, its transfers.
 *
 * libcurl says which sockets and which moment it waits for, and those stand in
 * one epoll set whose descriptor the worker can wait for together with its
 * latch.  (curl_multi_poll() would not see the latch.)
 *
 * A socket stays in the epoll set while its connection is kept alive: taking
 * it out after each request and putting it back costs a third of the rate.  An
 * event on a socket that libcurl doesn't wait for means that the other side
 * closed it, or speaks unasked; it is taken out then, and that connection is not
 * used again (http_socket.c).
 *
 * Some libcurls (before 8.4) give a silent address of a name up after its share
 * of the time, and then wait for nothing: the next address is only tried when they
 * are called again.  A transfer that has not connected and for which no socket
 * is waited for is "stranded", and that call is made.
 *
 * src/send/http_multi.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

/* curl_multi_socket_all() is called on purpose: see nudge() */
#define CURL_DISABLE_DEPRECATION

#include <unistd.h>

#include "send/connection.h"
#include "send/http_multi.h"
#include "send/http_request.h"
#include "send/http_socket.h"

/* That call looks at every transfer: no two of them sooner than this. */
#define NUDGE_PAUSE 20000

/* What libcurl calls in place of close(). */
int
kgw_http_multi_on_close(void *arg, curl_socket_t fd)
{
	kgw_connection_closed(fd);
	return close(fd);
}

/* libcurl waits for the socket no more. */
static void
let_go(KgwMulti *multi, KgwHttpRequest *transfer, curl_socket_t fd)
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
		epoll_ctl(multi->epoll, EPOLL_CTL_DEL, fd, NULL);
	socket->registered = KGW_SOCKET_ABSENT;
	if (transfer != NULL && transfer->opened && !transfer->stranded)
	{
		transfer->stranded = true;
		multi->stranded++;
	}
}

/* A transfer isn't stranded, or not any more. */
static void
is_afloat(KgwMulti *multi, KgwHttpRequest *transfer)
{
	multi->stranded -= transfer->stranded;
	transfer->stranded = false;
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	KgwMulti   *multi = arg;
	KgwSocket  *socket = kgw_connection_callback(fd);
	KgwHttpRequest *transfer = kgw_http_request_of(easy);
	struct epoll_event event = {0};
	int			wanted = what == CURL_POLL_REMOVE ? 0 : what;

	if (socket == NULL)
		return -1;
	socket->multi = multi;
	socket->wanted = wanted;
	if (wanted == 0)
		let_go(multi, transfer, fd);
	else if (transfer != NULL)
	{
		is_afloat(multi, transfer);
		kgw_http_socket_waits(transfer, fd, wanted);
	}
	if (wanted == 0 || socket->registered == wanted)
		return 0;
	event.data.fd = fd;
	event.events = ((wanted & CURL_POLL_IN) ? EPOLLIN : 0) |
		((wanted & CURL_POLL_OUT) ? EPOLLOUT : 0);
	if (epoll_ctl(multi->epoll,
				  socket->registered == KGW_SOCKET_ABSENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD,
				  fd, &event) != 0)
		return -1;
	socket->registered = wanted;
	return 0;
}

static int
on_timer(CURLM *curl, long milliseconds, void *arg)
{
	KgwMulti   *multi = arg;

	multi->deadline = milliseconds < 0 ? KGW_NEVER :
		kgw_clock_ticks() + (KgwTicks) milliseconds * 1000;
	return 0;
}

/*
 * A handle whose sockets stand in that epoll set, and that puts itself into that
 * list when libcurl was called, for transfers of it may be finished then.  NULL
 * when there is no memory.
 */
KgwMulti *
kgw_http_multi_new(int epoll, dlist_head *called_list)
{
	KgwMulti   *multi = calloc(1, sizeof(KgwMulti));

	if (multi == NULL)
		return NULL;
	multi->curl = curl_multi_init();
	if (multi->curl == NULL)
	{
		free(multi);
		return NULL;
	}
	multi->epoll = epoll;
	multi->called_list = called_list;
	multi->deadline = KGW_NEVER;
	curl_multi_setopt(multi->curl, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(multi->curl, CURLMOPT_SOCKETDATA, multi);
	curl_multi_setopt(multi->curl, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(multi->curl, CURLMOPT_TIMERDATA, multi);
	curl_multi_setopt(multi->curl, CURLMOPT_PIPELINING, (long) CURLPIPE_NOTHING);
	return multi;
}

/* Free a handle that has nothing in flight; its connections are closed. */
void
kgw_http_multi_free(KgwMulti *multi)
{
	Assert(multi->in_flight == 0);
	curl_multi_cleanup(multi->curl);
	if (multi->called)
		dlist_delete(&multi->called_node);
	free(multi);
}

/*
 * libcurl counts connections in use and idle ones together; so the limit moves with
 * what is in flight, and "idle" is what may be kept beyond that.
 */
static void
limit_connections(KgwMulti *multi)
{
	curl_multi_setopt(multi->curl, CURLMOPT_MAXCONNECTS,
					  (long) Max(multi->idle + multi->in_flight, 1));
}

/* Keep at most so many idle connections. */
void
kgw_http_multi_keep(KgwMulti *multi, int idle)
{
	multi->idle = idle;
	limit_connections(multi);
}

/* Begin a transfer that is prepared; false when there is no memory. */
bool
kgw_http_multi_add(KgwMulti *multi, KgwHttpRequest *transfer)
{
	if (curl_multi_add_handle(multi->curl, transfer->easy) != CURLM_OK)
		return false;
	transfer->multi = multi;
	multi->in_flight++;
	limit_connections(multi);
	return true;
}

/* Take a transfer out, finished or not. */
void
kgw_http_multi_remove(KgwMulti *multi, KgwHttpRequest *transfer)
{
	curl_multi_remove_handle(multi->curl, transfer->easy);
	is_afloat(multi, transfer);
	multi->in_flight--;
	limit_connections(multi);
}

/* When kgw_http_multi_tick() has to be called at the latest. */
KgwTicks
kgw_http_multi_deadline(const KgwMulti *multi)
{
	if (multi->stranded > 0)
		return Min(multi->deadline, multi->nudged_at + NUDGE_PAUSE);
	return multi->deadline;
}

static void
was_called(KgwMulti *multi, CURLMcode code)
{
	if (code != CURLM_OK)
		multi->broken = true;
	if (!multi->called)
		dlist_push_tail(multi->called_list, &multi->called_node);
	multi->called = true;
}

static void
take_action(KgwMulti *multi, curl_socket_t fd, int what)
{
	int			running;

	was_called(multi, curl_multi_socket_action(multi->curl, fd, what, &running));
}

/*
 * Have libcurl look at transfers for which it waits for nothing.  There is no
 * way to name one: curl_multi_socket_action() takes sockets, and those it has none.
 */
static void
nudge(KgwMulti *multi, KgwTicks now)
{
	int			running;

	if (now < multi->nudged_at + NUDGE_PAUSE)
		return;
	multi->nudged_at = now;
	was_called(multi, curl_multi_socket_all(multi->curl, &running));
}

/* Do what it is time for. */
void
kgw_http_multi_tick(KgwMulti *multi, KgwTicks now)
{
	if (multi->deadline <= now)
	{
		multi->deadline = KGW_NEVER;
		take_action(multi, CURL_SOCKET_TIMEOUT, 0);
	}
	if (multi->stranded > 0)
		nudge(multi, now);
}

/* Something has happened to a socket of that set. */
void
kgw_http_multi_act(int epoll, const struct epoll_event *event)
{
	int			fd = event->data.fd;
	int			what = 0;
	KgwSocket  *socket = kgw_connection_callback(fd);

	if (socket->wanted == 0)
	{
		epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
		socket->registered = KGW_SOCKET_ABSENT;
		return;
	}
	if (socket->asker != NULL && (event->events & EPOLLIN) != 0)
	{
		kgw_http_socket_sniff(socket->asker, fd);
		socket->asker = NULL;
	}
	if (event->events & (EPOLLIN | EPOLLHUP))
		what |= CURL_CSELECT_IN;
	if (event->events & EPOLLOUT)
		what |= CURL_CSELECT_OUT;
	if (event->events & EPOLLERR)
		what |= CURL_CSELECT_ERR;
	take_action(socket->multi, fd, what);
}

/*
 * A transfer that has come to its end, and how, out of the handle; NULL when
 * there is none, until libcurl is called again.
 */
KgwHttpRequest *
kgw_http_multi_finished(KgwMulti *multi, CURLcode *code)
{
	CURLMsg    *message;
	KgwHttpRequest *transfer;
	int			left;

	do
	{
		message = curl_multi_info_read(multi->curl, &left);
		if (message == NULL)
		{
			dlist_delete(&multi->called_node);
			multi->called = false;
			return NULL;
		}
	} while (message->msg != CURLMSG_DONE);
	*code = message->data.result;
	curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
	kgw_http_multi_remove(multi, transfer);
	return transfer;
}
