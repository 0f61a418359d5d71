/*-------------------------------------------------------------------------
 *
 * egress_settings.c
 *	  The settings that say how requests leave: source address and proxy.
 *
 * A source is an interface or addresses, one of each family at most: a receiver
 * that lets only a known sender in has to be told one.  What looks like an address and
 * is none is not taken for an interface: 10.0.0.300 is a mistake.
 *
 * A proxy is "scheme://host:port" and nothing more.  Without a port one client takes
 * 80, another 1080, a third 3128.  Credentials are refused: PostgreSQL writes a
 * setting that has changed to its log, and shows it to all who may read settings.
 *
 * What a URL's host means is asked here for a proxy's sake only: it is given the name
 * unresolved, so what can be judged by the name alone has to be.
 *
 * src/pure/egress_settings.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/egress_settings.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "pure/text/ascii.h"
#include "pure/ip_filter.h"
#include "pure/text/list_setting.h"

/* Characters of an interface's name here; what else Linux allows nobody uses. */
static bool
is_interface_name(const char *item, size_t len)
{
	bool		letter = false;

	if (len == 0 || len >= IF_NAMESIZE)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		char		c = kgw_ascii_to_lower(item[i]);

		if (c >= 'a' && c <= 'z')
			letter = true;
		else if (!kgw_ascii_is_digit(c) && (i == 0 || strchr("-_.@", c) == NULL))
			return false;
	}
	return letter;
}

/* An address that could be a host's own: neither "any" nor a group. */
static bool
take_address(const struct sockaddr_storage *address, KgwSource *out)
{
	const struct in6_addr *ipv6 = &((const struct sockaddr_in6 *) address)->sin6_addr;
	struct in_addr ipv4 = ((const struct sockaddr_in *) address)->sin_addr;

	if (address->ss_family == AF_INET)
	{
		if (out->has_ipv4 || ipv4.s_addr == INADDR_ANY || ntohl(ipv4.s_addr) >= 0xe0000000)
			return false;
		out->has_ipv4 = true;
		out->ipv4 = ipv4;
		return true;
	}
	if (out->has_ipv6 || IN6_IS_ADDR_UNSPECIFIED(ipv6) || IN6_IS_ADDR_MULTICAST(ipv6) ||
		IN6_IS_ADDR_V4MAPPED(ipv6) || IN6_IS_ADDR_LINKLOCAL(ipv6))
		return false;
	out->has_ipv6 = true;
	out->ipv6 = *ipv6;
	return true;
}

static bool
take_item(const char *item, size_t len, KgwSource *out)
{
	char		text[INET6_ADDRSTRLEN];
	struct sockaddr_storage address;
	size_t		address_len;

	if (len > 0 && len < sizeof(text))
	{
		memcpy(text, item, len);
		text[len] = '\0';
		if (kgw_ip_filter_parse_address(text, &address, &address_len))
			return out->interface[0] == '\0' && take_address(&address, out);
	}
	if (!is_interface_name(item, len) || out->interface[0] != '\0' ||
		out->has_ipv4 || out->has_ipv6)
		return false;
	memcpy(out->interface, item, len);
	return true;
}

/*
 * Parse "", an interface's name, or an address of each family.  On false, "problem" (of
 * "problem_size" bytes) holds a sentence that says why, and "out" is not to be used.
 */
bool
kgw_egress_settings_parse_source(const char *text, KgwSource *out, char *problem, size_t problem_size)
{
	const char *rest = kgw_items_begin(text);
	const char *item;
	size_t		len;
	char		shown[KGW_ITEM_SHOWN_SIZE];

	memset(out, 0, sizeof(*out));
	while (kgw_items_next(&rest, &item, &len))
	{
		if (take_item(item, len, out))
			continue;
		snprintf(problem, problem_size,
				 "\"%s\" is not the one interface, or the one IPv4 or one IPv6 address, of this server.",
				 kgw_item_show(shown, item, len));
		return false;
	}
	return true;
}

/* Whether there is something in front of a host that may be a password. */
bool
kgw_egress_settings_has_credentials(const char *proxy)
{
	return strchr(proxy, '@') != NULL;
}

/* Whether a URL that is valid has a port, and nothing after it. */
static bool
is_bare(const char *url, size_t len)
{
	const char *rest = strstr(url, "://") + 3;
	const char *end = url + len;
	const char *bracket = memchr(rest, ']', end - rest);
	const char *port = bracket != NULL ? bracket : rest;

	return rest + strcspn(rest, "/?#") >= end && memchr(port, ':', end - port) != NULL;
}

/*
 * Parse "" or "scheme://host:port".  On false, "problem" (of "problem_size" bytes) holds a
 * sentence that says why, which quotes nothing, and "out" is not to be used.
 */
bool
kgw_egress_settings_parse_proxy(const char *text, KgwProxy *out, char *problem, size_t problem_size)
{
	size_t		len = strlen(text);
	KgwUrl		url;
	const char *fault;

	memset(out, 0, sizeof(*out));
	if (len == 0)
		return true;
	if (len > 1 && text[len - 1] == '/')
		len--;
	fault = kgw_url_parse(text, len, &url);
	if (fault != NULL)
	{
		snprintf(problem, problem_size, "It cannot be read: %s.", fault);
		return false;
	}
	if (!is_bare(text, len))
	{
		snprintf(problem, problem_size,
				 "It has to be http:// or https://, a host, a colon and a port, and nothing more.");
		return false;
	}
	out->https = url.https;
	memcpy(out->url, url.destination, sizeof(out->url));
	return true;
}

/*
 * Whether a host, in the form of KgwUrl, is an address and no name: also in the old
 * forms ("127.1", "0x7f000001") that resolvers take for one.
 */
bool
kgw_egress_settings_literal_address(const char *host, struct sockaddr_storage *address, size_t *len)
{
	struct sockaddr_in in;

	if (kgw_ip_filter_parse_address(host, address, len))
		return true;
	memset(&in, 0, sizeof(in));
	in.sin_family = AF_INET;
	if (inet_aton(host, &in.sin_addr) == 0)
		return false;
	memset(address, 0, sizeof(*address));
	memcpy(address, &in, sizeof(in));
	*len = sizeof(in);
	return true;
}

/* Whether a name in lower case is that of the very host that looks it up (RFC 6761, 6.3). */
bool
kgw_egress_settings_is_localhost(const char *host)
{
	static const char name[] = "localhost";
	size_t		len = strlen(host);

	return len >= sizeof(name) - 1 && strcmp(host + len - (sizeof(name) - 1), name) == 0 &&
		(len == sizeof(name) - 1 || host[len - sizeof(name)] == '.');
}
