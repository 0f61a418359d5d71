/*-------------------------------------------------------------------------
 *
 * local_addresses.c
 *	  The addresses of this host's own network interfaces.
 *
 * A host's public address is global unicast like any other, and yet a
 * connection to it from inside passes no firewall: PostgreSQL itself, and
 * whatever trusts the local host, would answer.  The filter therefore has to
 * know these addresses.  Asking the system for them is the only impure part of
 * the filter, so it lives here and the judging stays in src/pure/ip_filter.c.
 *
 * Nothing may be forgotten silently.  A list that could not be had, or that
 * does not fit, is an error, and the caller must then deny every address that
 * no exception covers; a host of more than KGW_NETWORKS_MAX addresses gets an
 * administrator's attention rather than a filter with a hole.
 *
 * src/send/network/local_addresses.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include "pg/clock.h"
#include "pg/guc.h"
#include "send/network/local_addresses.h"

/* How long they are believed, microseconds. */
#define INTERFACES_AGE 1000000

/* Append one interface address as a network of itself; false when full. */
static bool
add_address(KgwNetworks *nets, const struct sockaddr *sa)
{
	KgwNetwork	net;
	int			i;

	memset(&net, 0, sizeof(net));
	net.family = sa->sa_family;
	if (sa->sa_family == AF_INET)
	{
		memcpy(net.bytes, &((const struct sockaddr_in *) sa)->sin_addr, 4);
		net.bits = 32;
	}
	else
	{
		memcpy(net.bytes, &((const struct sockaddr_in6 *) sa)->sin6_addr, 16);
		net.bits = 128;
	}

	/* link-local addresses often repeat from interface to interface */
	for (i = 0; i < nets->n; i++)
	{
		if (memcmp(&nets->net[i], &net, sizeof(net)) == 0)
			return true;
	}
	if (nets->n == KGW_NETWORKS_MAX)
		return false;
	nets->net[nets->n++] = net;
	return true;
}

/*
 * Fill "out" with the addresses of all interfaces, loopback included, as /32
 * and /128.  On false (the system failed, or there are more than
 * KGW_NETWORKS_MAX) "out" is empty and must not be taken for an answer; errno
 * is the system's, or 0 when there are too many.
 */
static bool
list_addresses(KgwNetworks *out)
{
	struct ifaddrs *all;
	struct ifaddrs *one;
	bool		complete = true;

	memset(out, 0, sizeof(*out));
	if (getifaddrs(&all) != 0)
		return false;

	for (one = all; one != NULL && complete; one = one->ifa_next)
	{
		/* interfaces without an address, and packet sockets, are listed too */
		if (one->ifa_addr != NULL &&
			(one->ifa_addr->sa_family == AF_INET ||
			 one->ifa_addr->sa_family == AF_INET6))
			complete = add_address(out, one->ifa_addr);
	}
	freeifaddrs(all);

	if (!complete)
	{
		memset(out, 0, sizeof(*out));
		errno = 0;
	}
	return complete;
}

/* This host's addresses, or NULL when they can't be told. */
static const KgwNetworks *
own_addresses(void)
{
	static KgwNetworks own;
	static bool known;
	static KgwTicks read_at;
	KgwTicks	now = kgw_clock_ticks();

	if (read_at == 0 || now - read_at > INTERFACES_AGE)
	{
		known = list_addresses(&own);
		read_at = now;
	}
	return known ? &own : NULL;
}

/* Why a connection to this address is refused, by the settings, or NULL. */
const char *
kgw_local_addresses_judge(const struct sockaddr *address, size_t len)
{
	const KgwNetworks *own = own_addresses();

	if (own == NULL)
		return "this host's own addresses are not known";
	return kgw_ip_filter_judge(address, len, kgw_settings.allowed_networks, own);
}
