/*-------------------------------------------------------------------------
 *
 * bench/connection.c
 *	  Connections of the bench's receiver: requests in, answers out.
 *
 * The receiver must never be what is measured.  So it parses no more of a
 * request than its length, and a request costs one recv and one send.
 * Requests are not pipelined by any sender of the bench, so a connection waits
 * for one answer at most.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include "connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "arrivals.h"
#include "stream.h"

#define REQUEST_MAX_BYTES (160 * 1024)

typedef struct KgwConnection
{
	KgwSource		source;			/* must be first */
	KgwStream	stream;
	bool		counted;		/* among the group's connections */
	bool		waiting;
	uint64_t	due_us;			/* of the answer; monotonic */
	struct KgwConnection *earlier;
	struct KgwConnection *later;
	size_t		length;
	char		buffer[REQUEST_MAX_BYTES];
} KgwConnection;

static const char answer[] =
"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
"Content-Length: 11\r\n\r\n{\"ok\":true}";

static const char last_answer[] =
"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
"Connection: close\r\nContent-Length: 11\r\n\r\n{\"ok\":true}";

static const char refusal[] =
"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
"Content-Length: 12\r\n\r\n{\"ok\":false}";

int			kgw_epoll_fd;

/* Says what failed, and errno; does not return. */
void
kgw_die(const char *what)
{
	fprintf(stderr, "receiver: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Has the loop told when there is something to read. */
void
kgw_watch(KgwSource *source)
{
	struct epoll_event event = {.events = EPOLLIN,.data.ptr = source};

	if (epoll_ctl(kgw_epoll_fd, EPOLL_CTL_ADD, source->fd, &event) != 0)
		kgw_die("epoll_ctl");
}

static void
stop_waiting(KgwConnection *connection)
{
	KgwGroup	   *group = connection->source.group;

	if (!connection->waiting)
		return;
	connection->waiting = false;
	if (connection->earlier != NULL)
		connection->earlier->later = connection->later;
	else
		group->first_waiting = connection->later;
	if (connection->later != NULL)
		connection->later->earlier = connection->earlier;
	else
		group->last_waiting = connection->earlier;
}

/* In a group all wait equally long, so the list is in the order they are due. */
static void
wait_for_answer(KgwConnection *connection)
{
	KgwGroup	   *group = connection->source.group;

	connection->waiting = true;
	connection->due_us = kgw_monotonic_us() + (uint64_t) group->answer_ms * 1000;
	connection->later = NULL;
	connection->earlier = group->last_waiting;
	if (group->last_waiting != NULL)
		group->last_waiting->later = connection;
	else
		group->first_waiting = connection;
	group->last_waiting = connection;
}

static void
hang_up(KgwConnection *connection)
{
	stop_waiting(connection);
	kgw_stream_close(&connection->stream);
	free(connection);
}

/* The length of the request at the buffer's start; 0 when it isn't whole. */
static size_t
whole_request(const KgwConnection *connection, size_t *head_length)
{
	static const char name[] = "\r\nContent-Length:";
	const char *start = connection->buffer;
	const char *end = memmem(start, connection->length, "\r\n\r\n", 4);
	size_t		total;

	if (end == NULL)
		return 0;
	*head_length = (size_t) (end - start) + 4;
	total = *head_length;
	for (const char *line = start; line < end;
		 line = memmem(line + 2, (size_t) (end + 2 - (line + 2)), "\r\n", 2))
		if (strncasecmp(line, name, sizeof(name) - 1) == 0)
		{
			total += strtoul(line + sizeof(name) - 1, NULL, 10);
			break;
		}
	return total <= connection->length ? total : 0;
}

/* Does a group refuse the request that it has now?  Its own count decides. */
static bool
refuses(KgwGroup *group)
{
	group->served++;
	return group->refuses_each > 0 && group->served % group->refuses_each == 0;
}

/* Answers a request; false when the connection is done with. */
static bool
give_answer(KgwConnection *connection, bool refused)
{
	if (refused)
		return kgw_stream_write(&connection->stream, refusal, sizeof(refusal) - 1);
	if (!connection->source.group->closes)
		return kgw_stream_write(&connection->stream, answer, sizeof(answer) - 1);
	kgw_stream_write(&connection->stream, last_answer, sizeof(last_answer) - 1);
	kgw_stream_shut(&connection->stream);
	return false;
}

/* Serves what has been read; false when the connection is done with. */
static bool
serve_requests(KgwConnection *connection)
{
	KgwGroup	   *group = connection->source.group;
	size_t		head_length;
	size_t		length;
	bool		refused;

	while ((length = whole_request(connection, &head_length)) > 0)
	{
		refused = refuses(group);
		kgw_arrivals_add(group->index, connection->buffer + head_length,
						 length - head_length,
						 !refused && group->answer_ms != KGW_ANSWER_NEVER);
		if (!connection->counted)
			kgw_arrivals_add_connection(group->index,
										kgw_stream_resumed(&connection->stream));
		connection->counted = true;
		connection->length -= length;
		memmove(connection->buffer, connection->buffer + length,
				connection->length);
		if (group->answer_ms > 0 && !connection->waiting)
			wait_for_answer(connection);
		else if (group->answer_ms == 0 && !give_answer(connection, refused))
			return false;
	}
	return connection->length < REQUEST_MAX_BYTES;
}

/* Reads and serves what a connection has, or ends it. */
void
kgw_connection_read(KgwSource *source)
{
	KgwConnection *connection = (KgwConnection *) source;

	do
	{
		ssize_t		got = kgw_stream_read(&connection->stream,
										  connection->buffer + connection->length,
										  REQUEST_MAX_BYTES - connection->length);

		if (got > 0)
			connection->length += (size_t) got;
		if (got < 0 || (got > 0 && !serve_requests(connection)))
		{
			hang_up(connection);
			return;
		}
	} while (kgw_stream_has_more(&connection->stream));
}

/* Answers those that are due; returns milliseconds to the next, or -1. */
int
kgw_answer_the_waiting(KgwGroup *groups, int ngroups)
{
	int			timeout_ms = -1;

	for (int i = 0; i < ngroups; i++)
	{
		KgwConnection *connection;

		while ((connection = groups[i].first_waiting) != NULL)
		{
			uint64_t	now = kgw_monotonic_us();

			if (connection->due_us > now)
			{
				int			ms = (int) ((connection->due_us - now) / 1000) + 1;

				if (timeout_ms < 0 || ms < timeout_ms)
					timeout_ms = ms;
				break;
			}
			stop_waiting(connection);
			if (!kgw_stream_write(&connection->stream, answer, sizeof(answer) - 1))
				hang_up(connection);
		}
	}
	return timeout_ms;
}

/* Takes the connections that a listener has. */
void
kgw_connections_accept(KgwSource *listener)
{
	int			fd;
	int			on = 1;

	while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0)
	{
		KgwConnection *connection = malloc(sizeof(KgwConnection));

		if (connection == NULL)
			kgw_die("malloc");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		connection->source = (KgwSource) {KGW_CONNECTION, fd, listener->group};
		connection->counted = false;
		connection->waiting = false;
		connection->length = 0;
		if (kgw_stream_open(&connection->stream, fd))
			kgw_watch(&connection->source);
		else
			free(connection);
	}
}
