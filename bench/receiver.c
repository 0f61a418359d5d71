/*-------------------------------------------------------------------------
 *
 * bench/receiver.c
 *	  The other end of the bench: takes webhooks over HTTP/1.1 or HTTPS, as
 *	  fast as one thread can, and remembers when each arrived.
 *
 *	  receiver [--certificate FILE --key FILE] NAME=COUNT:ANSWER ...
 *
 * Each argument makes a group of COUNT listening ports on 127.0.0.1, all of
 * which answer 200: at once ("now"), after so many milliseconds ("250"), or
 * never ("never": they take connection and request, and that is all; thousands
 * of those are thousands of dead destinations).  The kernel picks the ports, so
 * that a bench never meets a port in use, and the first line of our output,
 * in JSON, tells them:
 *
 *	  {"control": 40001, "groups": {"fast": [40002], "dead": [40003, 40004]}}
 *
 * The control port speaks HTTP/1.0, one request a connection: GET /stats,
 * /arrivals (see arrivals.c) and /reset.  It is served between two rounds of
 * the loop and in one go, which is fine for something asked twenty times a
 * second by its own driver.
 *
 * It must never be what is measured: it parses no more of a request than its
 * length, and a connection costs one recv and one send a request.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "arrivals.h"
#include "stream.h"

#define REQUEST_MAX_BYTES 65536
#define EVENTS_AT_ONCE 256
#define ANSWER_NEVER (-1)

typedef struct Group
{
	int			index;
	int			nports;
	int			answer_ms;		/* 0: at once; ANSWER_NEVER */
	int		   *ports;
	struct Connection *first_waiting;	/* for its answer; oldest first */
	struct Connection *last_waiting;
} Group;

/* What an epoll event points to. */
typedef enum SourceKind
{
	LISTENER,
	CONTROL,
	CONNECTION
} SourceKind;

typedef struct Source
{
	SourceKind	kind;
	int			fd;
	Group	   *group;
} Source;

typedef struct Connection
{
	Source		source;			/* must be first */
	KgwStream	stream;
	bool		waiting;
	uint64_t	due_us;			/* of the answer; monotonic */
	struct Connection *earlier;
	struct Connection *later;
	size_t		length;
	char		buffer[REQUEST_MAX_BYTES];
} Connection;

static const char answer[] =
"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
"Content-Length: 11\r\n\r\n{\"ok\":true}";

static Group groups[KGW_MAX_GROUPS];
static char *group_names[KGW_MAX_GROUPS];
static int	ngroups;
static int	epoll_fd;

static void
die(const char *what)
{
	fprintf(stderr, "receiver: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
watch(Source *source)
{
	struct epoll_event event = {.events = EPOLLIN,.data.ptr = source};

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, source->fd, &event) != 0)
		die("epoll_ctl");
}

/*-------------------------------------------------------------------------
 * Connections
 *-------------------------------------------------------------------------
 */

static void
stop_waiting(Connection *connection)
{
	Group	   *group = connection->source.group;

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
wait_for_answer(Connection *connection)
{
	Group	   *group = connection->source.group;

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
hang_up(Connection *connection)
{
	stop_waiting(connection);
	kgw_stream_close(&connection->stream);
	free(connection);
}

/* The length of the request at the buffer's start; 0 when it isn't whole. */
static size_t
whole_request(const Connection *connection, size_t *head_length)
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

/* Serves what has been read; false when the connection is done with. */
static bool
serve_requests(Connection *connection)
{
	Group	   *group = connection->source.group;
	size_t		head_length;
	size_t		length;

	while ((length = whole_request(connection, &head_length)) > 0)
	{
		kgw_arrivals_add(group->index, connection->buffer + head_length,
						 length - head_length);
		connection->length -= length;
		memmove(connection->buffer, connection->buffer + length,
				connection->length);
		if (group->answer_ms > 0 && !connection->waiting)
			wait_for_answer(connection);
		else if (group->answer_ms == 0 &&
				 !kgw_stream_write(&connection->stream, answer,
								   sizeof(answer) - 1))
			return false;
	}
	return connection->length < REQUEST_MAX_BYTES;
}

static void
read_connection(Connection *connection)
{
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
static int
answer_the_waiting(void)
{
	int			timeout_ms = -1;

	for (int i = 0; i < ngroups; i++)
	{
		Connection *connection;

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

static void
accept_connections(Source *listener)
{
	int			fd;
	int			on = 1;

	while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0)
	{
		Connection *connection = malloc(sizeof(Connection));

		if (connection == NULL)
			die("malloc");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		connection->source = (Source) {CONNECTION, fd, listener->group};
		connection->waiting = false;
		connection->length = 0;
		if (kgw_stream_open(&connection->stream, fd))
			watch(&connection->source);
		else
			free(connection);
	}
}

/*-------------------------------------------------------------------------
 * Control
 *-------------------------------------------------------------------------
 */

/* Reads one request, answers it and closes. */
static void
serve_control(int listener_fd)
{
	struct timeval patience = {.tv_sec = 2};
	char		request[1024];
	ssize_t		got;
	FILE	   *out;
	int			fd = accept(listener_fd, NULL, NULL);

	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	got = recv(fd, request, sizeof(request) - 1, 0);
	out = got > 0 ? fdopen(fd, "w") : NULL;
	if (out == NULL)
	{
		close(fd);
		return;
	}
	request[got] = '\0';
	fprintf(out, "HTTP/1.0 200 OK\r\n\r\n");
	if (strncmp(request, "GET /reset", 10) == 0)
		kgw_arrivals_forget();
	else if (strncmp(request, "GET /arrivals", 13) == 0)
		kgw_arrivals_print_all(out, group_names);
	else
		kgw_arrivals_print_stats(out, group_names, ngroups);
	fclose(out);
}

/*-------------------------------------------------------------------------
 * Start
 *-------------------------------------------------------------------------
 */

/* Listens on a port of the kernel's choice, and returns it. */
static int
listen_somewhere(SourceKind kind, Group *group)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	socklen_t	length = sizeof(address);
	Source	   *listener = malloc(sizeof(Source));
	int			fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (listener == NULL || fd < 0 ||
		bind(fd, (struct sockaddr *) &address, sizeof(address)) != 0 ||
		listen(fd, 1024) != 0 ||
		getsockname(fd, (struct sockaddr *) &address, &length) != 0)
		die("can't listen");
	*listener = (Source) {kind, fd, group};
	watch(listener);
	return ntohs(address.sin_port);
}

/* Makes the group that an argument describes; false when it is no such. */
static bool
add_group(char *argument)
{
	Group	   *group = &groups[ngroups];
	char		kind[16];

	if (ngroups == KGW_MAX_GROUPS ||
		sscanf(argument, "%m[a-z_]=%d:%15s", &group_names[ngroups],
			   &group->nports, kind) != 3 || group->nports < 1)
		return false;
	if (strcmp(kind, "never") == 0)
		group->answer_ms = ANSWER_NEVER;
	else if (strcmp(kind, "now") != 0 && (group->answer_ms = atoi(kind)) <= 0)
		return false;

	group->index = ngroups++;
	group->ports = calloc((size_t) group->nports, sizeof(int));
	if (group->ports == NULL)
		die("calloc");
	for (int i = 0; i < group->nports; i++)
		group->ports[i] = listen_somewhere(LISTENER, group);
	return true;
}

static void
tell_ports(int control_port)
{
	printf("{\"control\": %d, \"groups\": {", control_port);
	for (int i = 0; i < ngroups; i++)
	{
		printf("%s\"%s\": [", i > 0 ? ", " : "", group_names[i]);
		for (int j = 0; j < groups[i].nports; j++)
			printf("%s%d", j > 0 ? ", " : "", groups[i].ports[j]);
		printf("]");
	}
	printf("}}\n");
	fflush(stdout);
}

static int
usage(void)
{
	fprintf(stderr, "usage: receiver [--certificate FILE --key FILE]"
			" NAME=COUNT:now|never|MILLISECONDS ...\n");
	return 2;
}

static void
allow_many_files(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"certificate", required_argument, NULL, 'c'},
		{"key", required_argument, NULL, 'k'},
		{NULL, 0, NULL, 0}
	};
	struct epoll_event events[EVENTS_AT_ONCE];
	const char *certificate = NULL;
	const char *key = NULL;
	int			option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		if (option == 'c')
			certificate = optarg;
		else if (option == 'k')
			key = optarg;
		else
			return usage();
	}
	if (optind == argc || (certificate == NULL) != (key == NULL))
		return usage();

	signal(SIGPIPE, SIG_IGN);
	allow_many_files();
	if (certificate != NULL)
		kgw_stream_use_tls(certificate, key);
	epoll_fd = epoll_create1(0);
	kgw_arrivals_forget();
	for (; optind < argc; optind++)
		if (!add_group(argv[optind]))
			return usage();
	tell_ports(listen_somewhere(CONTROL, NULL));

	for (;;)
	{
		int			ready = epoll_wait(epoll_fd, events, EVENTS_AT_ONCE,
									   answer_the_waiting());

		for (int i = 0; i < ready; i++)
		{
			Source	   *source = events[i].data.ptr;

			if (source->kind == CONNECTION)
				read_connection((Connection *) source);
			else if (source->kind == LISTENER)
				accept_connections(source);
			else
				serve_control(source->fd);
		}
	}
}
