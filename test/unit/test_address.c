/*-------------------------------------------------------------------------
 *
 * test/unit/test_address.c
 *	  The address guard, on both sides of every boundary.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/ip_filter.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/un.h>

#include "tap.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define RESERVED "address is private or reserved"
#define NOT_GLOBAL "address is not global unicast"
#define OWN "address belongs to this host"
#define FAMILY "address family is not IPv4 or IPv6"

static KgwNetworks none;

static KgwNetworks
networks(const char *text)
{
	KgwNetworks nets;
	char		problem[128] = "";

	if (!kgw_ip_filter_parse_networks(text, &nets, problem, sizeof(problem)))
		ok(false, "networks parse: %s: %s", text, problem);
	return nets;
}

static const char *
judge(const char *ip, const KgwNetworks *allowed, const KgwNetworks *own)
{
	struct sockaddr_storage ss;
	size_t		salen;

	if (!kgw_ip_filter_parse_address(ip, &ss, &salen))
		return "not an address";
	return kgw_ip_filter_judge((struct sockaddr *) &ss, salen, allowed, own);
}

/* The last address before a network, its first, its last, the next. */
static const struct
{
	const char *before;
	const char *first;
	const char *last;
	const char *after;
}			ipv4_denied[] = {
	{NULL, "0.0.0.0", "0.255.255.255", "1.0.0.0"},
	{"9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
	{"100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"},
	{"126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"},
	{"169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"},
	{"172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"},
	{"191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"},
	{"192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"},
	{"192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"},
	{"192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"},
	{"198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"},
	{"198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"},
	{"203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"},
	{"223.255.255.255", "224.0.0.0", "255.255.255.255", NULL},
};

static void
test_ipv4(void)
{
	static const char *const denied[] = {
		"127.0.0.1", "169.254.169.254", "100.100.100.200", "172.20.1.1",
		"239.255.255.250", "240.0.0.1", "255.255.255.254"
	};
	static const char *const public[] = {"8.8.8.8", "1.1.1.1", "93.184.216.34"};
	size_t		i;

	for (i = 0; i < COUNT(ipv4_denied); i++)
	{
		const char *before = ipv4_denied[i].before;
		const char *first = ipv4_denied[i].first;
		const char *last = ipv4_denied[i].last;
		const char *after = ipv4_denied[i].after;

		if (before != NULL)
			is_str(judge(before, &none, &none), NULL, "%s is public", before);
		is_str(judge(first, &none, &none), RESERVED, "%s is denied", first);
		is_str(judge(last, &none, &none), RESERVED, "%s is denied", last);
		if (after != NULL)
			is_str(judge(after, &none, &none), NULL, "%s is public", after);
	}
	for (i = 0; i < COUNT(denied); i++)
		is_str(judge(denied[i], &none, &none), RESERVED, "%s is denied", denied[i]);
	for (i = 0; i < COUNT(public); i++)
		is_str(judge(public[i], &none, &none), NULL, "%s is public", public[i]);
}

static void
test_ipv6(void)
{
	static const struct
	{
		const char *ip;
		const char *reason;
	}			cases[] = {
		{"1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NOT_GLOBAL},
		{"2000::", NULL},
		{"2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
		{"2001::", RESERVED},	/* Teredo */
		{"2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", RESERVED},
		{"2001:200::", NULL},
		{"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
		{"2001:db8::", RESERVED},
		{"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", RESERVED},
		{"2001:db9::", NULL},
		{"2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
		{"2002::", RESERVED},
		{"2002:7f00:1::", RESERVED},	/* 6to4 of 127.0.0.1 */
		{"2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", RESERVED},
		{"2003::", NULL},
		{"2606:4700:4700::1111", NULL},
		{"3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
		{"3fff::", RESERVED},
		{"3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", RESERVED},
		{"3fff:1000::", NULL},
		{"3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
		{"4000::", NOT_GLOBAL},
		{"::", NOT_GLOBAL},
		{"::1", NOT_GLOBAL},
		{"::127.0.0.1", NOT_GLOBAL},	/* v4-compatible */
		{"::ffff:127.0.0.1", NOT_GLOBAL},	/* v4-mapped */
		{"::ffff:8.8.8.8", NOT_GLOBAL},
		{"::ffff:0:127.0.0.1", NOT_GLOBAL}, /* v4-translated */
		{"64:ff9b::7f00:1", NOT_GLOBAL},	/* NAT64 */
		{"64:ff9b:1::1", NOT_GLOBAL},
		{"100::1", NOT_GLOBAL}, /* discard */
		{"5f00::1", NOT_GLOBAL},	/* segment routing */
		{"fc00::1", NOT_GLOBAL},
		{"fd00:ec2::254", NOT_GLOBAL},	/* cloud metadata */
		{"fe80::1", NOT_GLOBAL},
		{"fec0::1", NOT_GLOBAL},
		{"ff02::1", NOT_GLOBAL},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NOT_GLOBAL},
	};
	size_t		i;

	for (i = 0; i < COUNT(cases); i++)
		is_str(judge(cases[i].ip, &none, &none), cases[i].reason, "%s %s",
			   cases[i].ip, cases[i].reason == NULL ? "is public" : "is denied");
}

static const char *
judge_scoped(const char *ip, unsigned int scope, const KgwNetworks *allowed)
{
	struct sockaddr_in6 in6;

	memset(&in6, 0, sizeof(in6));
	in6.sin6_family = AF_INET6;
	in6.sin6_scope_id = scope;
	inet_pton(AF_INET6, ip, &in6.sin6_addr);
	return kgw_ip_filter_judge((struct sockaddr *) &in6, sizeof(in6), allowed,
							 &none);
}

static void
test_scoped(void)
{
	KgwNetworks link = networks("fe80::/10");

	is_str(judge_scoped("2606:4700::1", 0, &none), NULL,
		   "a public address without a zone passes");
	is_str(judge_scoped("2606:4700::1", 1, &none), NOT_GLOBAL,
		   "the same with a zone is denied");
	is_str(judge_scoped("fe80::1", 2, &none), NOT_GLOBAL,
		   "a link-local address is denied");
	is_str(judge_scoped("fe80::1", 2, &link), NULL,
		   "unless its network is allowed");
}

static void
test_allowed(void)
{
	KgwNetworks loopback4 = networks("127.0.0.0/8");
	KgwNetworks mapped = networks("::ffff:127.0.0.0/104");
	KgwNetworks all = networks("0.0.0.0/0, ::/0");
	KgwNetworks all4 = networks("0.0.0.0/0");
	KgwNetworks all6 = networks("::/0");
	KgwNetworks odd = networks("10.1.2.128/25,fd00:0:0:8000::/49");

	is_str(judge("127.0.0.1", &loopback4, &none), NULL,
		   "an allowed network passes");
	is_str(judge("127.255.255.255", &loopback4, &none), NULL, "to its end");
	is_str(judge("10.0.0.1", &loopback4, &none), RESERVED, "and no other");
	is_str(judge("::1", &loopback4, &none), NOT_GLOBAL,
		   "IPv4's loopback does not allow IPv6's");
	is_str(judge("::ffff:127.0.0.1", &loopback4, &none), NOT_GLOBAL,
		   "nor its own v4-mapped form");
	is_str(judge("::ffff:127.0.0.1", &mapped, &none), NULL,
		   "which an IPv6 network allows");
	is_str(judge("127.0.0.1", &mapped, &none), RESERVED,
		   "without allowing the IPv4 form");
	is_str(judge("255.255.255.255", &all, &none), NULL, "/0 allows IPv4");
	is_str(judge("ffff::", &all, &none), NULL, "/0 allows IPv6");
	is_str(judge("::1", &all4, &none), NOT_GLOBAL,
		   "all of IPv4 allows nothing of IPv6");
	is_str(judge("10.0.0.1", &all6, &none), RESERVED,
		   "all of IPv6 allows nothing of IPv4");
	is_str(judge("10.1.2.127", &odd, &none), RESERVED, "before a /25");
	is_str(judge("10.1.2.128", &odd, &none), NULL, "first of a /25");
	is_str(judge("10.1.2.255", &odd, &none), NULL, "last of a /25");
	is_str(judge("10.1.3.0", &odd, &none), RESERVED, "after a /25");
	is_str(judge("fd00::7fff:ffff:ffff:ffff:ffff", &odd, &none), NOT_GLOBAL,
		   "before a /49");
	is_str(judge("fd00:0:0:8000::", &odd, &none), NULL, "first of a /49");
	is_str(judge("fd00:0:0:ffff:ffff:ffff:ffff:ffff", &odd, &none), NULL,
		   "last of a /49");
	is_str(judge("fd00:0:1::", &odd, &none), NOT_GLOBAL, "after a /49");
}

static void
test_own(void)
{
	KgwNetworks own = networks("127.0.0.1, 8.8.8.8, 2606:4700::1");
	KgwNetworks allowed = networks("8.8.8.8/32, 2606:4700::/32");

	is_str(judge("8.8.8.8", &none, &own), OWN,
		   "a public address of this host is denied");
	is_str(judge("8.8.8.9", &none, &own), NULL, "its neighbor is not");
	is_str(judge("8.8.8.7", &none, &own), NULL, "on either side");
	is_str(judge("2606:4700::1", &none, &own), OWN, "the same with IPv6");
	is_str(judge("2606:4700::2", &none, &own), NULL, "and its neighbor");
	is_str(judge("127.0.0.1", &none, &own), OWN,
		   "own addresses are judged before the tables");
	is_str(judge("8.8.8.8", &allowed, &own), NULL,
		   "an exception covers own addresses");
	is_str(judge("2606:4700::1", &allowed, &own), NULL, "also with IPv6");
}

/* A copy of just "salen" bytes, so that a sanitizer sees an overrun. */
static const char *
judge_bytes(const void *bytes, size_t salen, size_t shift)
{
	char	   *copy = malloc(salen + shift + 1);
	const char *reason;

	memcpy(copy + shift, bytes, salen);
	copy = realloc(copy, salen + shift > 0 ? salen + shift : 1);
	reason = kgw_ip_filter_judge((struct sockaddr *) (void *) (copy + shift),
							   salen, &none, &none);
	free(copy);
	return reason;
}

static void
test_other_families(void)
{
	struct sockaddr_storage ss;
	struct sockaddr_un un;
	size_t		salen;
	size_t		len;

	memset(&un, 0, sizeof(un));
	un.sun_family = AF_UNIX;
	strcpy(un.sun_path, "/run/x");
	is_str(judge_bytes(&un, sizeof(un), 0), FAMILY, "a unix socket is denied");
	un.sun_family = AF_UNSPEC;
	is_str(judge_bytes(&un, sizeof(un), 0), FAMILY, "no family is denied");
	un.sun_family = 0xffff;
	is_str(judge_bytes(&un, sizeof(un), 0), FAMILY, "any other is denied");

	kgw_ip_filter_parse_address("8.8.8.8", &ss, &salen);
	is_str(judge_bytes(&ss, salen, 0), NULL, "a whole IPv4 address passes");
	is_str(judge_bytes(&ss, salen, 1), NULL, "however it is aligned");
	for (len = 0; len < salen; len++)
		is_str(judge_bytes(&ss, len, 0), FAMILY,
			   "%d bytes of an IPv4 address are denied", (int) len);

	kgw_ip_filter_parse_address("2606:4700::1", &ss, &salen);
	is_str(judge_bytes(&ss, salen, 0), NULL, "a whole IPv6 address passes");
	is_str(judge_bytes(&ss, salen, 3), NULL, "however it is aligned");
	for (len = 0; len < salen; len++)
		is_str(judge_bytes(&ss, len, 0), FAMILY,
			   "%d bytes of an IPv6 address are denied", (int) len);
}

static void
test_address_parse(void)
{
	static const char *const bad[] = {
		"", "localhost", "127.1", "2130706433", "0x7f.0.0.1", "127.0.0.1.",
		"127.0.0.1 ", " 127.0.0.1", "0127.0.0.1", "256.0.0.1", "127.0.0.1:80",
		"[::1]", "fe80::1%lo", "::1/128", "1:2:3:4:5:6:7:8:9", ":::",
		"\xef\xbc\x91.1.1.1"
	};
	struct sockaddr_storage ss;
	size_t		salen;
	size_t		i;

	ok(kgw_ip_filter_parse_address("192.0.2.1", &ss, &salen), "IPv4 parses");
	is_int(ss.ss_family, AF_INET, "into its family");
	is_int((long long) salen, sizeof(struct sockaddr_in), "and size");
	ok(kgw_ip_filter_parse_address("2001:db8::1", &ss, &salen), "IPv6 parses");
	is_int(ss.ss_family, AF_INET6, "into its family");
	is_int((long long) salen, sizeof(struct sockaddr_in6), "and size");
	for (i = 0; i < COUNT(bad); i++)
		ok(!kgw_ip_filter_parse_address(bad[i], &ss, &salen), "no address: '%s'", bad[i]);
}

static void
test_networks_parse(void)
{
	KgwNetworks nets;

	nets = networks(" 127.0.0.0/8 ,\t::1/128, 10.0.0.1,fd00::1 ");
	is_int(nets.n, 4, "four networks parse");
	is_int(nets.net[0].family, AF_INET, "the first is IPv4");
	is_int(nets.net[0].bits, 8, "of 8 bits");
	is_int(nets.net[1].family, AF_INET6, "the second is IPv6");
	is_int(nets.net[1].bits, 128, "of 128 bits");
	is_int(nets.net[2].bits, 32, "a bare IPv4 address is a /32");
	is_int(nets.net[3].bits, 128, "a bare IPv6 address is a /128");
	is_int(networks("").n, 0, "no network parses");
	is_int(networks(" \t\n").n, 0, "blanks are no network");
	is_int(networks("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128").n, 1,
		   "the longest way to write one parses");
}

static void
test_networks_refused(void)
{
	static const char *const bad[] = {
		"10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/08",
		"10.0.0.0/", "10.0.0.0/8/8", "10.0.0.0/8x", "10.0.0.0/ 8",
		"10.0.0.0 /8", "10/8", "10.0.0/24", "/8", "::/129", "::/1000", "::/",
		"localhost", "fe80::%lo/64", "[::1]/128", "10.0.0.0/255.0.0.0",
		"10.0.0.0/8,", ",10.0.0.0/8", "10.0.0.0/8,,::1", ",",
		"10.0.0.0/8;::1", "10.0.0.0/8 ::1", "010.0.0.0/8",
		"10.0.0.1/8", "10.0.0.1/31", "128.0.0.0/0", "::1/127", "fd00::1/64",
		"8000::/0", "10.0.0.0/99999999999999999999",
		"0000:0000:0000:0000:0000:0000:255.255.255.2555",
		"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/8"
	};
	KgwNetworks nets;
	char		problem[128];
	static char many[KGW_NETWORKS_MAX * 4 + 8];
	size_t		i;

	for (i = 0; i < COUNT(bad); i++)
	{
		problem[0] = '\0';
		ok(!kgw_ip_filter_parse_networks(bad[i], &nets, problem, sizeof(problem)) &&
		   problem[0] != '\0', "no list of networks: '%s'", bad[i]);
	}
	kgw_ip_filter_parse_networks("::1, 10.1.2.3/8", &nets, problem, sizeof(problem));
	is_str(problem, "\"10.1.2.3/8\" has bits set to the right of its prefix.",
		   "the sentence says which and why");
	kgw_ip_filter_parse_networks("here", &nets, problem, sizeof(problem));
	is_str(problem, "\"here\" is not a network such as 10.0.0.0/8 or fd00::/8.",
		   "also for what is no network");

	for (i = 0; i < KGW_NETWORKS_MAX; i++)
		strcat(many, i == 0 ? "::1" : ",::1");
	ok(kgw_ip_filter_parse_networks(many, &nets, problem, sizeof(problem)) &&
	   nets.n == KGW_NETWORKS_MAX, "256 networks parse");
	strcat(many, ",::1");
	ok(!kgw_ip_filter_parse_networks(many, &nets, problem, sizeof(problem)),
	   "257 do not");
}

int
main(void)
{
	test_ipv4();
	test_ipv6();
	test_scoped();
	test_allowed();
	test_own();
	test_other_families();
	test_address_parse();
	test_networks_parse();
	test_networks_refused();
	return done_testing();
}
