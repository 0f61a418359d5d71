/*-------------------------------------------------------------------------
 *
 * bench/receiver.c
 *	  The other end of the bench: takes webhooks over HTTP/1.1 or HTTPS, as
 *	  fast as one thread can, and remembers when each arrived.
 *
 *	  receiver [--certificate FILE --key FILE] NAME=COUNT:ANSWER ...
 *
 * Each argument makes a group of COUNT listening ports on 127.0.0.1.  They answer
 * 200 at once ("now"), or after so many milliseconds ("250"), or at once, and then
 * close the connection ("close"); or one request of three with 503 ("refuse3"; "refuse1": each);
 * or nothing ("never": they take
 * connection and request, and that is all; thousands of those are thousands of dead
 * destinations).  The kernel picks the ports, so
 * that a bench never meets a port in use, and the first line of our output,
 * in JSON, tells them:
 *
 *	  {"control": 40001, "groups": {"fast": [40002], "dead": [40003, 40004]}}
 *
 * The control port speaks HTTP/1.0, one request a connection: GET /stats,
 * /arrivals and /take (see arrivals.c) and /reset.  It is served between two rounds of
 * the loop and in one go, which is fine for something asked twenty times a
 * second by its own driver.
 *
 * Nothing here knows of a request; that is connection.c's.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "arrivals.h"
#include "connection.h"
#include "stream.h"

#define EVENTS_AT_ONCE 256

static KgwGroup groups[KGW_MAX_GROUPS];
static char *group_names[KGW_MAX_GROUPS];
static int	ngroups;

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
	else if (strncmp(request, "GET /take", 9) == 0)
		kgw_arrivals_take(out, group_names);
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
listen_somewhere(KgwSourceKind kind, KgwGroup *group)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	socklen_t	length = sizeof(address);
	KgwSource	   *listener = malloc(sizeof(KgwSource));
	int			fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (listener == NULL || fd < 0 ||
		bind(fd, (struct sockaddr *) &address, sizeof(address)) != 0 ||
		listen(fd, 1024) != 0 ||
		getsockname(fd, (struct sockaddr *) &address, &length) != 0)
		kgw_die("can't listen");
	*listener = (KgwSource) {kind, fd, group};
	kgw_watch(listener);
	return ntohs(address.sin_port);
}

/* Makes the group that an argument describes; false when it is no such. */
static bool
add_group(char *argument)
{
	KgwGroup	   *group = &groups[ngroups];
	char		kind[16];

	if (ngroups == KGW_MAX_GROUPS ||
		sscanf(argument, "%m[a-z_]=%d:%15s", &group_names[ngroups],
			   &group->nports, kind) != 3 || group->nports < 1)
		return false;
	group->closes = strcmp(kind, "close") == 0;
	sscanf(kind, "refuse%u", &group->refuses_each);
	if (strcmp(kind, "never") == 0)
		group->answer_ms = KGW_ANSWER_NEVER;
	else if (strcmp(kind, "now") != 0 && !group->closes && group->refuses_each == 0 &&
			 (group->answer_ms = atoi(kind)) <= 0)
		return false;

	group->index = ngroups++;
	group->ports = calloc((size_t) group->nports, sizeof(int));
	if (group->ports == NULL)
		kgw_die("calloc");
	for (int i = 0; i < group->nports; i++)
		group->ports[i] = listen_somewhere(KGW_LISTENER, group);
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
			" NAME=COUNT:now|never|close|refuseN|MILLISECONDS ...\n");
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
	kgw_epoll_fd = epoll_create1(0);
	kgw_arrivals_forget();
	for (; optind < argc; optind++)
		if (!add_group(argv[optind]))
			return usage();
	tell_ports(listen_somewhere(KGW_CONTROL, NULL));

	for (;;)
	{
		int			ready = epoll_wait(kgw_epoll_fd, events, EVENTS_AT_ONCE,
									   kgw_answer_the_waiting(groups, ngroups));

		for (int i = 0; i < ready; i++)
		{
			KgwSource	   *source = events[i].data.ptr;

			if (source->kind == KGW_CONNECTION)
				kgw_connection_read(source);
			else if (source->kind == KGW_LISTENER)
				kgw_connections_accept(source);
			else
				serve_control(source->fd);
		}
	}
}
