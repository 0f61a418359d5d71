/*-------------------------------------------------------------------------
 *
 * test/unit/test_egress_settings.c
 *	  The settings that say how requests leave.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/egress_settings.h"

#include <arpa/inet.h>

#include "tap.h"

static void
is_source(const char *text, const char *interface, const char *ipv4, const char *ipv6)
{
	KgwSource	source;
	char		problem[128] = "";
	char		shown[INET6_ADDRSTRLEN];

	ok(kgw_egress_settings_parse_source(text, &source, problem, sizeof(problem)), "'%s' is a source", text);
	is_str(source.interface, interface, "its interface");
	is_str(source.has_ipv4 ? inet_ntop(AF_INET, &source.ipv4, shown, sizeof(shown)) : "", ipv4, "its IPv4 address");
	is_str(source.has_ipv6 ? inet_ntop(AF_INET6, &source.ipv6, shown, sizeof(shown)) : "", ipv6, "its IPv6 address");
}

static void
no_source(const char *text)
{
	KgwSource	source;
	char		problem[128] = "";

	ok(!kgw_egress_settings_parse_source(text, &source, problem, sizeof(problem)), "'%s' is none", text);
	ok(problem[0] == '"' && problem[strlen(problem) - 1] == '.', "and a sentence says why: %s", problem);
}

static void
is_proxy(const char *text, bool https, const char *url)
{
	KgwProxy	proxy;
	char		problem[128] = "";

	ok(kgw_egress_settings_parse_proxy(text, &proxy, problem, sizeof(problem)), "'%s' is a proxy", text);
	ok(proxy.https == https, "its scheme");
	is_str(proxy.url, url, "its URL");
}

static void
no_proxy(const char *text)
{
	KgwProxy	proxy;
	char		problem[128] = "";

	ok(!kgw_egress_settings_parse_proxy(text, &proxy, problem, sizeof(problem)), "'%s' is none", text);
	ok(problem[strlen(problem) - 1] == '.', "and a sentence says why: %s", problem);
}

static void
literal(const char *host, const char *address)
{
	struct sockaddr_storage storage;
	char		shown[INET6_ADDRSTRLEN] = "";
	size_t		len;

	ok(kgw_egress_settings_literal_address(host, &storage, &len), "'%s' is an address", host);
	if (storage.ss_family == AF_INET)
		inet_ntop(AF_INET, &((struct sockaddr_in *) &storage)->sin_addr, shown, sizeof(shown));
	else
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *) &storage)->sin6_addr, shown, sizeof(shown));
	is_str(shown, address, "and which");
}

static void
test_source(void)
{
	is_source("", "", "", "");
	is_source(" ", "", "", "");
	is_source("eth0", "eth0", "", "");
	is_source("bond0.100", "bond0.100", "", "");
	is_source("198.51.100.7", "", "198.51.100.7", "");
	is_source("2001:db8::7", "", "", "2001:db8::7");
	is_source("198.51.100.7, 2001:db8::7", "", "198.51.100.7", "2001:db8::7");
	is_source("2001:db8::7,198.51.100.7 ", "", "198.51.100.7", "2001:db8::7");
	no_source(",");
	no_source("eth0,");
	no_source("eth0,eth1");
	no_source("eth0,198.51.100.7");
	no_source("198.51.100.7,eth0");
	no_source("198.51.100.7,198.51.100.8");
	no_source("::1,::2");
	no_source("198.51.100.300");
	no_source("198.51.100");
	no_source("2001:db8::g");
	no_source("0.0.0.0");
	no_source("::");
	no_source("224.0.0.1");
	no_source("ff02::1");
	no_source("fe80::1");
	no_source("::ffff:198.51.100.7");
	no_source("an-interface-too-long");
	no_source("../eth0");
	no_source("et h0");
}

static void
test_proxy(void)
{
	is_proxy("", false, "");
	is_proxy("http://proxy.example:3128", false, "http://proxy.example:3128");
	is_proxy("https://Proxy.example:3128/", true, "https://proxy.example:3128");
	is_proxy("http://[2001:DB8::1]:8080", false, "http://[2001:db8::1]:8080");
	no_proxy("proxy.example:3128");
	no_proxy("socks5://proxy.example:1080");
	no_proxy("http://proxy.example");
	no_proxy("http://[2001:db8::1]");
	no_proxy("http://proxy.example:0");
	no_proxy("http://proxy.example:3128//");
	no_proxy("http://proxy.example:3128/x");
	no_proxy("http://proxy.example:3128?x=1");
	no_proxy("http://proxy.example:3128#1");
	no_proxy("http://proxy.example/:3128");
	no_proxy("http://user@proxy.example:3128");
	no_proxy("http://");
	no_proxy("/");
	ok(kgw_egress_settings_has_credentials("http://user:password@proxy.example:3128"), "credentials");
	ok(!kgw_egress_settings_has_credentials("http://proxy.example:3128"), "none");
}

static void
test_host(void)
{
	struct sockaddr_storage storage;
	size_t		len;

	literal("192.0.2.1", "192.0.2.1");
	literal("127.1", "127.0.0.1");
	literal("2130706433", "127.0.0.1");
	literal("0x7f.1", "127.0.0.1");
	literal("0177.0.0.1", "127.0.0.1");
	literal("::1", "::1");
	ok(!kgw_egress_settings_literal_address("shop.example", &storage, &len), "a name is none");
	ok(!kgw_egress_settings_literal_address("1.2.3.4.example", &storage, &len), "nor what begins as one");
	ok(kgw_egress_settings_is_localhost("localhost"), "localhost");
	ok(kgw_egress_settings_is_localhost("a.localhost"), "and what is below it");
	ok(!kgw_egress_settings_is_localhost("notlocalhost"), "not what ends so");
	ok(!kgw_egress_settings_is_localhost("localhost.example"), "nor what begins so");
	ok(!kgw_egress_settings_is_localhost("host"), "nor less");
}

int
main(void)
{
	test_source();
	test_proxy();
	test_host();
	return done_testing();
}
