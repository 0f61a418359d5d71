/*-------------------------------------------------------------------------
 *
 * connection.c
 *	  What we know of the sockets that libcurl has, by descriptor.
 *
 * The table is of the process and not of a client: libcurl closes a socket
 * without saying whose it was.
 *
 * It is also how a kept-alive connection is looked at before it carries another
 * request.  libcurl takes a connection on which something waits to be read for
 * a good one, and would take that for the answer to its next request: a
 * receiver, or a proxy before it, that once answered twice would acknowledge an
 * event that nobody got.  libcurl doesn't tell which descriptor a connection
 * has; so both its ends are noted when a socket first becomes idle (they can't
 * change while it is open), and the pre-request callback finds it by them, among
 * those of its local port.  One that isn't found must be taken for one that can't
 * be trusted.
 *
 * A connection can also be dead without anything to be read: a firewall or a
 * load balancer between has forgotten it.  So the kernel probes those that are
 * idle, and gives up one that does not acknowledge what is sent over it.  When
 * one is nevertheless found dead, its siblings, to the same address, have likely
 * died with it: they are doubtful until they bring an answer, and carry nothing
 * more until then.
 *
 * src/send/connection.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>

#include "send/connection.h"

/*
 * An idle connection is probed after so many seconds, so often, so many times:
 * what lies between sees traffic before the minute is over after which many
 * forget a connection.
 */
#define PROBE_AFTER 15
#define PROBE_EACH 5
#define PROBES 3

static KgwSocket *sockets;
static int	socket_count;

/* No socket that we had was beyond this. */
static int	highest;

/*
 * The sockets whose ends are noted, by local port: the first of each, plus one, and
 * each leads to the next.  Several can have one port, to different addresses.
 */
static int	by_port[65536];

static bool
reserve_socket(int fd)
{
	int			count = Max(1024, socket_count);
	KgwSocket  *grown;

	if (fd < socket_count)
		return true;
	while (count <= fd)
		count *= 2;
	grown = realloc(sockets, count * sizeof(KgwSocket));
	if (grown == NULL)
		return false;
	sockets = grown;
	for (int i = socket_count; i < count; i++)
		sockets[i] = (KgwSocket) {.registered = KGW_SOCKET_ABSENT};
	socket_count = count;
	return true;
}

/* The entry of a socket; NULL when there is no memory. */
KgwSocket *
kgw_connection_callback(int fd)
{
	return reserve_socket(fd) ? &sockets[fd] : NULL;
}

static void
set_option(int fd, int level, int option, int value)
{
	/* a connection that is not probed is better than none */
	(void) setsockopt(fd, level, option, &value, sizeof(value));
}

/*
 * A socket was made; false when there is no memory.  It is in no epoll set:
 * kgw_connection_closed() has said so already, except for the sockets whose connection
 * failed, which libcurl closes by itself.
 */
bool
kgw_connection_opened(int fd)
{
	if (!reserve_socket(fd))
		return false;
	highest = Max(highest, fd);
	kgw_connection_closed(fd);
	sockets[fd].ours = true;
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, PROBE_AFTER);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, PROBE_EACH);
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, PROBES);
	return true;
}

/* Out of the chain of its port. */
static void
forget_port(int fd)
{
	int		   *link = &by_port[sockets[fd].local_port];

	while (*link != fd + 1)
		link = &sockets[*link - 1].same_port;
	*link = sockets[fd].same_port;
}

void
kgw_connection_closed(int fd)
{
	if (fd >= socket_count)
		return;
	if (sockets[fd].local_port != 0)
		forget_port(fd);
	sockets[fd] = (KgwSocket) {.registered = KGW_SOCKET_ABSENT};
}

/* The port of an address, 0 when there is none. */
static int
port_of(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *) address)->sin_port);
	if (address->ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *) address)->sin6_port);
	return 0;
}

/* libcurl waits for nothing on it: note how it can be found again. */
void
kgw_connection_idle(int fd)
{
	struct sockaddr_storage local;
	socklen_t	local_len = sizeof(local);
	socklen_t	peer_len = sizeof(sockets[fd].peer);

	if (sockets[fd].local_port != 0 ||
		getsockname(fd, (struct sockaddr *) &local, &local_len) != 0 ||
		getpeername(fd, (struct sockaddr *) &sockets[fd].peer, &peer_len) != 0 ||
		port_of(&local) == 0)
		return;
	sockets[fd].local_port = port_of(&local);
	sockets[fd].same_port = by_port[sockets[fd].local_port];
	by_port[sockets[fd].local_port] = fd + 1;
}

static bool
leads_to(const struct sockaddr_storage *peer, const struct sockaddr *remote, int remote_port)
{
	if (peer->ss_family != remote->sa_family || port_of(peer) != remote_port)
		return false;
	if (peer->ss_family == AF_INET)
		return memcmp(&((const struct sockaddr_in *) peer)->sin_addr,
					  &((const struct sockaddr_in *) remote)->sin_addr, 4) == 0;
	return memcmp(&((const struct sockaddr_in6 *) peer)->sin6_addr,
				  &((const struct sockaddr_in6 *) remote)->sin6_addr, 16) == 0;
}

/* The idle socket of a connection between these, or -1. */
int
kgw_connection_find(const struct sockaddr *remote, int remote_port, int local_port)
{
	if (local_port <= 0 || local_port >= (int) lengthof(by_port))
		return -1;
	for (int fd = by_port[local_port] - 1; fd >= 0; fd = sockets[fd].same_port - 1)
	{
		if (sockets[fd].wanted == 0 && leads_to(&sockets[fd].peer, remote, remote_port))
			return fd;
	}
	return -1;
}

/* Whether nothing waits to be read on it, its end neither. */
bool
kgw_connection_is_silent(int fd)
{
	char		byte;

	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
		(errno == EAGAIN || errno == EWOULDBLOCK);
}

/* Those that lead there are not to be relied on: one of them was found dead. */
void
kgw_connection_doubt(const struct sockaddr_storage *peer)
{
	for (int fd = 0; fd <= highest && fd < socket_count; fd++)
	{
		if (sockets[fd].local_port != 0 &&
			leads_to(&sockets[fd].peer, (const struct sockaddr *) peer, port_of(peer)))
			sockets[fd].doubtful = true;
	}
}

/*
 * How long what is sent over it may stay unacknowledged before the connection
 * counts as dead; 0: as long as the kernel tries.
 */
void
kgw_connection_be_patient(int fd, int milliseconds)
{
	if (sockets[fd].patience == milliseconds)
		return;
	sockets[fd].patience = milliseconds;
	set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds);
}

/* Bytes that have come over it since its beginning; 0 where the kernel doesn't tell. */
uint64
kgw_connection_received(int fd)
{
	struct tcp_info info;
	socklen_t	len = sizeof(info);

	memset(&info, 0, sizeof(info));
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
		return 0;
	return info.tcpi_bytes_received;
}
