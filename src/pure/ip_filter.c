/*-------------------------------------------------------------------------
 *
 * ip_filter.c
 *	  The SSRF filter: which addresses a callback may connect to (B6).
 *
 * A callback URL is written by a third party, and this server can reach things
 * the third party cannot: its own loopback, the private network, the metadata
 * service of the cloud.  Judging host names can't help, because a name means
 * whatever its owner's name server says this second.  So the filter judges the
 * socket address, at the moment libcurl is about to connect to it and again
 * for every request on a kept connection; nothing is looked up here, so that
 * nothing can change between the judgement and its use.
 *
 * Everything is denied unless it is known to be public.  IPv6 is therefore a
 * list of what is allowed (2000::/3, the only space IANA has allotted as
 * global unicast) less the special parts in it, which leaves v4-mapped,
 * NAT64, unique local, link-local and whatever is invented next outside.
 * IPv4 is allotted all over and can only be a list of what is denied: IANA's
 * special-purpose registry (RFC 6890 and its updates), multicast, class E.
 *
 * Administrators' exceptions come first and win over everything, this host's
 * own addresses included, or receivers on the same machine couldn't be used
 * at all.  An exception covers only its own family: 127.0.0.0/8 says nothing
 * about ::ffff:127.0.0.1, a spelling that only someone in disguise needs.
 *
 * The reasons end up in a log that the URL's author may get to see.  They must
 * never tell which network was hit or what was found there.
 *
 * src/pure/ip_filter.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/ip_filter.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "pure/array.h"
#include "pure/text/list_setting.h"

static const KgwNetwork ipv4_denied[] = {
	{AF_INET, {0}, 8},			/* "this network", RFC 791 */
	{AF_INET, {10}, 8},			/* private, RFC 1918 */
	{AF_INET, {100, 64}, 10},	/* carrier-grade NAT, RFC 6598 */
	{AF_INET, {127}, 8},		/* loopback, RFC 1122 */
	{AF_INET, {169, 254}, 16},	/* link-local, cloud metadata, RFC 3927 */
	{AF_INET, {172, 16}, 12},	/* private, RFC 1918 */
	{AF_INET, {192, 0, 0}, 24}, /* protocol assignments, RFC 6890 */
	{AF_INET, {192, 0, 2}, 24}, /* documentation, RFC 5737 */
	{AF_INET, {192, 88, 99}, 24},	/* 6to4 relays, RFC 7526 */
	{AF_INET, {192, 168}, 16},	/* private, RFC 1918 */
	{AF_INET, {198, 18}, 15},	/* benchmarks, RFC 2544 */
	{AF_INET, {198, 51, 100}, 24},	/* documentation, RFC 5737 */
	{AF_INET, {203, 0, 113}, 24},	/* documentation, RFC 5737 */
	{AF_INET, {224}, 3},		/* multicast, class E, broadcast */
};

static const KgwNetwork ipv6_global[] = {
	{AF_INET6, {0x20}, 3},		/* global unicast, RFC 4291 */
};

static const KgwNetwork ipv6_denied[] = {
	{AF_INET6, {0x20, 0x01}, 23},	/* Teredo, ORCHID, ..., RFC 2928 */
	{AF_INET6, {0x20, 0x01, 0x0d, 0xb8}, 32},	/* documentation, RFC 3849 */
	{AF_INET6, {0x20, 0x02}, 16},	/* 6to4: IPv4 in disguise, RFC 3056 */
	{AF_INET6, {0x3f, 0xff}, 20},	/* documentation, RFC 9637 */
};

static bool
network_covers(const KgwNetwork *net, int family, const unsigned char *bytes)
{
	int			whole = net->bits / 8;
	int			left = net->bits % 8;

	if (net->family != family ||
		memcmp(net->bytes, bytes, (size_t) whole) != 0)
		return false;
	return left == 0 ||
		((net->bytes[whole] ^ bytes[whole]) >> (8 - left)) == 0;
}

static bool
any_covers(const KgwNetwork *nets, int n, int family,
		   const unsigned char *bytes)
{
	int			i;

	for (i = 0; i < n; i++)
	{
		if (network_covers(&nets[i], family, bytes))
			return true;
	}
	return false;
}

/*
 * What a socket address says, read without trusting its alignment or its
 * length; false when it is not a whole IPv4 or IPv6 address.
 */
static bool
read_sockaddr(const struct sockaddr *sa, size_t salen, int *family,
			  unsigned char bytes[16], bool *scoped)
{
	sa_family_t sa_family;

	*scoped = false;
	if (salen < offsetof(struct sockaddr, sa_family) + sizeof(sa_family))
		return false;
	memcpy(&sa_family,
		   (const char *) sa + offsetof(struct sockaddr, sa_family),
		   sizeof(sa_family));
	*family = sa_family;

	if (sa_family == AF_INET && salen >= sizeof(struct sockaddr_in))
	{
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in));
		memcpy(bytes, &in.sin_addr, 4);
		return true;
	}
	if (sa_family == AF_INET6 && salen >= sizeof(struct sockaddr_in6))
	{
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		memcpy(bytes, &in6.sin6_addr, 16);
		*scoped = in6.sin6_scope_id != 0;
		return true;
	}
	return false;
}

/*
 * Whether an address may be connected to: NULL, or a static reason that fits
 * after "blocked: " and tells a scanner nothing.  "sa" holds "salen" bytes.
 * "allowed" are the administrator's exceptions, "own" this host's interface
 * addresses; neither may be NULL.  The tables are those of design B6.
 */
const char *
kgw_ip_filter_judge(const struct sockaddr *sa, size_t salen,
				  const KgwNetworks *allowed, const KgwNetworks *own)
{
	static const char reserved[] = "address is private or reserved";
	unsigned char bytes[16] = {0};
	int			family;
	bool		scoped;

	if (!read_sockaddr(sa, salen, &family, bytes, &scoped))
		return "address family is not IPv4 or IPv6";
	if (any_covers(allowed->net, allowed->n, family, bytes))
		return NULL;
	if (any_covers(own->net, own->n, family, bytes))
		return "address belongs to this host";

	if (family == AF_INET)
		return any_covers(ipv4_denied, KGW_LENGTH_OF(ipv4_denied), family, bytes) ?
			reserved : NULL;

	/* a zone only makes sense for addresses that are not global */
	if (scoped || !any_covers(ipv6_global, KGW_LENGTH_OF(ipv6_global), family, bytes))
		return "address is not global unicast";
	return any_covers(ipv6_denied, KGW_LENGTH_OF(ipv6_denied), family, bytes) ?
		reserved : NULL;
}

/*
 * A numeric address without port, zone or brackets, NUL-terminated as
 * CURLINFO_PRIMARY_IP gives it, as a socket address of "*salen" bytes with
 * port 0.  False when it is anything else, which callers must treat as denied.
 */
bool
kgw_ip_filter_parse_address(const char *ip, struct sockaddr_storage *ss, size_t *salen)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	memset(ss, 0, sizeof(*ss));
	memset(&in, 0, sizeof(in));
	memset(&in6, 0, sizeof(in6));
	*salen = 0;

	if (inet_pton(AF_INET, ip, &in.sin_addr) == 1)
	{
		in.sin_family = AF_INET;
		*salen = sizeof(in);
		memcpy(ss, &in, sizeof(in));
		return true;
	}
	if (inet_pton(AF_INET6, ip, &in6.sin6_addr) == 1)
	{
		in6.sin6_family = AF_INET6;
		*salen = sizeof(in6);
		memcpy(ss, &in6, sizeof(in6));
		return true;
	}
	return false;
}

/* Prefix length "0" to "32" or "128", no sign, no padding; -1 otherwise. */
static int
parse_bits(const char *text, size_t len, int most)
{
	int			bits = 0;
	size_t		i;

	if (len < 1 || len > 3 || (len > 1 && text[0] == '0'))
		return -1;
	for (i = 0; i < len; i++)
	{
		if (text[i] < '0' || text[i] > '9')
			return -1;
		bits = bits * 10 + (text[i] - '0');
	}
	return bits <= most ? bits : -1;
}

/* Whether a bit that the prefix leaves open is set. */
static bool
has_host_bits(const KgwNetwork *net)
{
	int			size = net->family == AF_INET ? 32 : 128;
	int			bit;

	for (bit = net->bits; bit < size; bit++)
	{
		if ((net->bytes[bit / 8] & (0x80 >> (bit % 8))) != 0)
			return true;
	}
	return false;
}

/* One network or bare address; NULL, or what is wrong with it. */
static const char *
parse_network(const char *item, size_t len, KgwNetwork *net)
{
	static const char malformed[] = "is not a network such as 10.0.0.0/8 or fd00::/8";
	const char *slash = len > 0 ? memchr(item, '/', len) : NULL;
	size_t		address_len = slash != NULL ? (size_t) (slash - item) : len;
	char		address[INET6_ADDRSTRLEN];

	if (address_len >= sizeof(address))
		return malformed;
	memcpy(address, item, address_len);
	address[address_len] = '\0';

	memset(net, 0, sizeof(*net));
	net->family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET;
	net->bits = net->family == AF_INET ? 32 : 128;
	if (inet_pton(net->family, address, net->bytes) != 1)
		return malformed;

	if (slash != NULL)
		net->bits = parse_bits(slash + 1, len - address_len - 1, net->bits);
	if (net->bits < 0)
		return malformed;
	return has_host_bits(net) ? "has bits set to the right of its prefix" : NULL;
}

/*
 * Parse a list of networks in CIDR notation and bare addresses, such as
 * "127.0.0.0/8, ::1", from a NUL-terminated text; "" is none.  Bits set to the
 * right of the prefix are refused rather than cleared: "10.1.2.3/8" is more
 * often a slip for one address than a wish for sixteen million.  On false,
 * "problem" (of "problem_size" bytes) holds a sentence that says why, and
 * "out" is not to be used.
 */
bool
kgw_ip_filter_parse_networks(const char *text, KgwNetworks *out,
				   char *problem, size_t problem_size)
{
	const char *rest = kgw_items_begin(text);
	const char *item;
	size_t		len;

	memset(out, 0, sizeof(*out));
	while (kgw_items_next(&rest, &item, &len))
	{
		char		shown[KGW_ITEM_SHOWN_SIZE];
		const char *wrong;

		if (out->n == KGW_NETWORKS_MAX)
		{
			snprintf(problem, problem_size,
					 "There are more than %d networks.", KGW_NETWORKS_MAX);
			return false;
		}
		wrong = parse_network(item, len, &out->net[out->n]);
		if (wrong != NULL)
		{
			snprintf(problem, problem_size, "\"%s\" %s.",
					 kgw_item_show(shown, item, len), wrong);
			return false;
		}
		out->n++;
	}
	return true;
}
