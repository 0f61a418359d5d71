/*-------------------------------------------------------------------------
 *
 * small_world.c
 *	  A library to preload: the process lives in a network of its own, all of
 *	  which is this machine's loopback.
 *
 * The guard is about public and private addresses, and names that lead to
 * them; a test may neither send anything anywhere nor count on privileges or
 * on network namespaces.  So here
 *
 *	- names are resolved by the C library's own resolver, threads, cache rules
 *	  and all, but it asks the name server at 127.0.0.1:KGW_NAME_SERVER;
 *	- a connection to any address outside of loopback goes to the same port of
 *	  127.0.0.1 (or ::1), while getpeername() still tells the address asked for;
 *	- every address that is connected to is written to KGW_CONNECTIONS, one
 *	  "address port" a line, before anything else happens;
 *	- this host owns KGW_OWN_ADDRESS, an IPv4 address, besides its real ones.
 *
 * The name server is set in the resolver's state of the calling thread, which
 * glibc leaves alone with RES_NORELOAD.  There is no way by the environment, and
 * connect() inside glibc can't be replaced.
 *
 * test/preload/small_world.c
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDS 4096

/* What getpeername() is to tell; length 0: the truth. */
static struct
{
	socklen_t	len;
	struct sockaddr_storage address;
}			asked_for[FDS];

static void *
real(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

int
getaddrinfo(const char *restrict name, const char *restrict service,
			const struct addrinfo *restrict hints, struct addrinfo **restrict found)
{
	int			(*next) (const char *, const char *, const struct addrinfo *,
						 struct addrinfo **) = real("getaddrinfo");
	const char *port = getenv("KGW_NAME_SERVER");

	if (port != NULL && (_res.options & RES_NORELOAD) == 0 && res_init() == 0)
	{
		_res.options |= RES_NORELOAD;
		_res.nscount = 1;
		_res.nsaddr_list[0].sin_family = AF_INET;
		_res.nsaddr_list[0].sin_port = htons((in_port_t) atoi(port));
		_res.nsaddr_list[0].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		_res.dnsrch[0] = NULL;
	}
	return next(name, service, hints, found);
}

static void
write_down(const struct sockaddr *address)
{
	const char *path = getenv("KGW_CONNECTIONS");
	char		ip[INET6_ADDRSTRLEN];
	char		line[INET6_ADDRSTRLEN + 8];
	const struct sockaddr_in *in = (const void *) address;
	const struct sockaddr_in6 *in6 = (const void *) address;
	int			fd;
	int			len;

	if (path == NULL)
		return;
	if (address->sa_family == AF_INET)
		inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip));
	else
		inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip));
	len = snprintf(line, sizeof(line), "%s %d\n", ip,
				   ntohs(address->sa_family == AF_INET ? in->sin_port : in6->sin6_port));
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, line, (size_t) len) != len)
		abort();
	close(fd);
}

/* The same port on loopback, in the same family. */
static void
bring_home(struct sockaddr *address)
{
	struct sockaddr_in *in = (void *) address;
	struct sockaddr_in6 *in6 = (void *) address;

	if (address->sa_family == AF_INET)
	{
		if ((ntohl(in->sin_addr.s_addr) >> 24) != 127)
			in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	else
	{
		in6->sin6_addr = in6addr_loopback;
		in6->sin6_scope_id = 0;
	}
}

int
connect(int fd, const struct sockaddr *address, socklen_t len)
{
	int			(*next) (int, const struct sockaddr *, socklen_t) = real("connect");
	struct sockaddr_storage home;

	if ((address->sa_family != AF_INET && address->sa_family != AF_INET6) ||
		len > sizeof(home) || fd >= FDS)
		return next(fd, address, len);
	write_down(address);
	memset(&home, 0, sizeof(home));
	memcpy(&home, address, len);
	memcpy(&asked_for[fd].address, address, len);
	asked_for[fd].len = len;
	bring_home((struct sockaddr *) &home);
	return next(fd, (struct sockaddr *) &home, len);
}

int
getpeername(int fd, struct sockaddr *restrict address, socklen_t *restrict len)
{
	int			(*next) (int, struct sockaddr *, socklen_t *) = real("getpeername");
	int			result = next(fd, address, len);

	if (result == 0 && fd < FDS && asked_for[fd].len > 0 && *len >= asked_for[fd].len)
		memcpy(address, &asked_for[fd].address, *len = asked_for[fd].len);
	return result;
}

int
close(int fd)
{
	int			(*next) (int) = real("close");

	if (fd >= 0 && fd < FDS)
		asked_for[fd].len = 0;
	return next(fd);
}

int
getifaddrs(struct ifaddrs **all)
{
	int			(*next) (struct ifaddrs **) = real("getifaddrs");
	int			result = next(all);
	const char *own = getenv("KGW_OWN_ADDRESS");

	for (struct ifaddrs *one = result == 0 ? *all : NULL;
		 own != NULL && one != NULL; one = one->ifa_next)
	{
		struct sockaddr_in *in = (void *) one->ifa_addr;

		/* loopback's own is denied in any case */
		if (in != NULL && in->sin_family == AF_INET && in->sin_addr.s_addr == htonl(INADDR_LOOPBACK))
			inet_pton(AF_INET, own, &in->sin_addr);
	}
	return result;
}
