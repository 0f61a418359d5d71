/*-------------------------------------------------------------------------
 *
 * url.c
 *	  Judging a callback URL by its text (design B6).
 *
 * Callback URLs come from third parties, and two parsers that read one URL
 * differently are how filters are slipped past: the check sees a harmless host
 * and the client connects to another.  So this is no general URL parser.  It
 * takes a subset of RFC 3986 in which there is nothing to disagree about, and
 * refuses whatever any client, old or new, was ever seen to read in another
 * way: user names and passwords, an '@' anywhere before the first '/' (some
 * end the authority at '?' and '#', some did not), backslashes, control
 * characters, percent-encoded or non-ASCII hosts, empty labels and trailing
 * dots, zone ids, empty and zero-padded ports.  Nothing is repaired, decoded
 * or trimmed: a URL is sent exactly as it was judged, or not at all.
 *
 * What a host name means is not asked here.  "127.1", "2130706433" and names
 * that resolve to a private address are accepted; the address that is
 * really connected to is judged by ip_filter.c, when it is known.  This file
 * must never resolve a name, and never treat a host as good or bad.
 *
 * The destination derived here is the unit of fairness, so one host and port
 * must have one spelling: lower case, port always explicit, IPv6 in the form
 * of RFC 5952.
 *
 * src/pure/url.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/url.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "pure/text/ascii.h"

/* Longest host name and longest label of one, bytes (RFC 1035, 2.3.4). */
#define HOST_MAX 253
#define LABEL_MAX 63

static bool
is_host_char(char c)
{
	return kgw_ascii_is_digit(c) || (kgw_ascii_to_lower(c) >= 'a' && kgw_ascii_to_lower(c) <= 'z') ||
		c == '-' || c == '_' || c == '.';
}

/*
 * What may stand nowhere in a URL.  These come first, before anything is taken
 * apart, because they are what makes parsers disagree on where parts end.
 */
static const char *
check_everywhere(const char *url, size_t len)
{
	size_t		i;

	for (i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) url[i];

		if (c < 0x20 || c == 0x7f)
			return "control character in it";
		if (c == '\\')
			return "backslash in it";
	}
	return NULL;
}

/* What may not stand after the authority either. */
static const char *
check_rest(const char *rest, size_t len)
{
	size_t		i;

	for (i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) rest[i];

		if (c > 0x7e)
			return "character in it that is not ASCII";
		if (c <= 0x20 || strchr("\"<>^`{}|", c) != NULL)
			return "character in it that must be percent-encoded";
	}
	return NULL;
}

static const char *
parse_host_name(const char *host, size_t len, KgwUrl *out)
{
	size_t		label = 0;
	size_t		i;

	if (len == 0)
		return "host is empty";
	for (i = 0; i < len; i++)
	{
		if (!is_host_char(host[i]))
			return "host has a character that is not ASCII letters, digits, '-', '_' or '.'";
	}
	if (len > HOST_MAX)
		return "host is longer than 253 bytes";

	for (i = 0; i < len; i++)
	{
		out->host[i] = kgw_ascii_to_lower(host[i]);
		label = host[i] == '.' ? 0 : label + 1;
		if (label > LABEL_MAX)
			return "host has a label longer than 63 bytes";
		if (label == 0 && (i == 0 || host[i - 1] == '.'))
			return "host has an empty label";
	}
	if (label == 0)
		return "host ends in a dot";
	out->host[len] = '\0';
	return NULL;
}

/*
 * "host" is what stands between the brackets.  inet_pton takes the forms of
 * RFC 4291, 2.2 and nothing else, so zone ids and names fall out by themselves.
 */
static const char *
parse_host_ipv6(const char *host, size_t len, KgwUrl *out)
{
	static const char problem[] = "host in brackets is not an IPv6 address without a zone";
	char		text[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	if (len >= sizeof(text))
		return problem;
	memcpy(text, host, len);
	text[len] = '\0';

	if (inet_pton(AF_INET6, text, &addr) != 1 ||
		inet_ntop(AF_INET6, &addr, out->host, sizeof(out->host)) == NULL)
		return problem;
	out->ipv6 = true;
	return NULL;
}

/* Host and, when one is given, port; the caller has set the default port. */
static const char *
parse_authority(const char *authority, size_t len, KgwUrl *out)
{
	const char *end = authority + len;
	const char *host_end;
	const char *problem;

	if (len > 0 && authority[0] == '[')
	{
		host_end = memchr(authority, ']', len);
		if (host_end == NULL)
			return "host has '[' without ']'";
		problem = parse_host_ipv6(authority + 1,
								  (size_t) (host_end - authority - 1), out);
		host_end++;
		if (problem == NULL && host_end < end && *host_end != ':')
			problem = "something other than a port follows the host in brackets";
	}
	else
	{
		host_end = len > 0 ? memchr(authority, ':', len) : NULL;
		if (host_end == NULL)
			host_end = end;
		problem = parse_host_name(authority, (size_t) (host_end - authority), out);
	}
	if (problem != NULL || host_end == end)
		return problem;

	out->port = kgw_ports_number(host_end + 1, (size_t) (end - host_end - 1));
	return out->port < 0 ? "port is not a number from 1 to 65535" : NULL;
}

static bool
starts_with(const char *url, size_t len, const char *prefix)
{
	return len >= strlen(prefix) && memcmp(url, prefix, strlen(prefix)) == 0;
}

static const char *
parse_scheme(const char *url, size_t len, size_t *authority, KgwUrl *out)
{
	if (starts_with(url, len, "https://"))
		out->https = true;
	else if (!starts_with(url, len, "http://"))
		return "scheme is not https or http";

	out->port = out->https ? 443 : 80;
	*authority = strlen(out->https ? "https://" : "http://");
	return NULL;
}

/*
 * An '@' before the first '/' makes what precedes it a user name to a client
 * that lets the authority run on to that '/': libcurl before 7.51 took
 * "http://a#@b/" to b (CVE-2016-8624).
 */
static bool
has_userinfo(const char *authority, size_t len)
{
	const char *slash = memchr(authority, '/', len);

	if (slash != NULL)
		len = (size_t) (slash - authority);
	return memchr(authority, '@', len) != NULL;
}

static const char *
parse_parts(const char *url, size_t len, KgwUrl *out)
{
	const char *problem;
	size_t		start = 0;
	size_t		end;

	if (len > KGW_URL_MAX)
		return "longer than 2048 bytes";
	problem = check_everywhere(url, len);
	if (problem == NULL)
		problem = parse_scheme(url, len, &start, out);
	if (problem != NULL)
		return problem;

	if (has_userinfo(url + start, len - start))
		return "user name or password in it";
	end = start;
	while (end < len && url[end] != '/' && url[end] != '?' && url[end] != '#')
		end++;
	problem = parse_authority(url + start, end - start, out);
	if (problem == NULL)
		problem = check_rest(url + end, len - end);
	return problem;
}

/*
 * Take a URL apart.  Returns NULL when it is valid, else a short static
 * reason that fits after "URL refused: ".  "out" is all zeros when it is
 * refused, so that nobody connects to half of a bad URL.
 *
 * Syntax: RFC 3986, 3.2, restricted as the head of this file says; the query
 * and fragment are not interpreted.
 */
const char *
kgw_url_parse(const char *url, size_t len, KgwUrl *out)
{
	const char *problem;

	memset(out, 0, sizeof(*out));
	problem = parse_parts(url, len, out);
	if (problem != NULL)
	{
		memset(out, 0, sizeof(*out));
		return problem;
	}
	snprintf(out->destination, sizeof(out->destination),
			 out->ipv6 ? "%s://[%s]:%d" : "%s://%s:%d",
			 out->https ? "https" : "http", out->host, out->port);
	return NULL;
}

/*
 * Whether the settings let a well-formed URL through: NULL, or a static reason
 * as of kgw_url_parse.
 */
const char *
kgw_url_judge(const KgwUrl *url, bool allow_http, const KgwPorts *ports)
{
	if (!url->https && !allow_http)
		return "scheme is http and kgwebhook.allow_http is off";
	if (!kgw_ports_contain(ports, url->port))
		return "port is not in kgwebhook.allowed_ports";
	return NULL;
}

/* Bytes of a URL without its query and fragment. */
static size_t
path_end(const char *url, size_t len)
{
	size_t		n = 0;

	while (n < len && url[n] != '?' && url[n] != '#')
		n++;
	return n;
}

/* Whether this part of a path leads up again, in some spelling. */
static bool
leads_up(const char *part, size_t len)
{
	size_t		i;

	for (i = 0; i < len; i++)
	{
		if (part[i] == '%' || part[i] == '\\' ||
			(part[i] == '.' && i + 1 < len && part[i + 1] == '.'))
			return true;
	}
	return false;
}

/*
 * Whether the second URL is the first or below it, query and fragment aside.  Only
 * the texts are compared: what is spelled in another way is not covered.
 */
bool
kgw_url_covers(const char *above, size_t above_len, const char *url, size_t len)
{
	size_t		n = path_end(above, above_len);
	size_t		end = path_end(url, len);

	if (n == 0 || n > end || memcmp(above, url, n) != 0)
		return false;
	if (n == end)
		return true;
	return (url[n] == '/' || url[n - 1] == '/') && !leads_up(url + n, end - n);
}

/*
 * What a request line has of a URL, as it is written: from the path to the fragment (RFC
 * 9112, 3.2.1).  "url" is one that kgw_url_parse() took; "out" has room for a byte more
 * than it, with its NUL.
 */
void
kgw_url_target(const char *url, char *out)
{
	const char *path = strstr(url, "://") + 3;
	size_t		len;

	path += strcspn(path, "/?#");
	len = strcspn(path, "#");
	if (*path != '/')
		*out++ = '/';
	memcpy(out, path, len);
	out[len] = '\0';
}
