/*-------------------------------------------------------------------------
 *
 * fuzz_url.c
 *	  Fuzzes the check of URLs.
 *
 * Guards are slipped past where two parsers read one URL differently, so what is
 * accepted is given to libcurl's parser as well: it has to see the same scheme,
 * host and port.  Numbers that stand for an IPv4 address (127.1) are the one
 * thing that libcurl rewrites; those are judged by the address they lead to.
 *
 * test/fuzz/fuzz_url.c
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <strings.h>

#include "pure/url.h"

static bool
is_host_char(char c, bool ipv6)
{
	if (ipv6)
		return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == ':' || c == '.';
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		c == '-' || c == '_' || c == '.';
}

static void
check_text(const char *url, size_t len)
{
	size_t		slash;
	size_t		i;

	MUST(len <= KGW_URL_MAX);
	for (i = 0; i < len; i++)
		MUST(url[i] > 0x20 && url[i] < 0x7f && url[i] != '\\');
	slash = strlen("https://");
	while (slash < len && url[slash] != '/')
		slash++;
	for (i = 0; i < slash; i++)
		MUST(url[i] != '@');
}

static char *
part(CURLU *handle, CURLUPart which)
{
	char	   *text = NULL;

	MUST(curl_url_get(handle, which, &text,
					  which == CURLUPART_PORT ? CURLU_DEFAULT_PORT : 0) == CURLUE_OK);
	return text;
}

/* What libcurl makes of the URL it will be given. */
static void
compare_with_libcurl(const char *url, const KgwUrl *parsed)
{
	CURLU	   *handle = curl_url();
	struct in_addr ipv4;
	char	   *scheme;
	char	   *host;
	char	   *port;
	char	   *user = NULL;
	char		bracketed[sizeof(parsed->host) + 2];

	MUST(handle != NULL);

	/* what libcurl doesn't take is never sent */
	if (curl_url_set(handle, CURLUPART_URL, url, 0) != CURLUE_OK)
	{
		curl_url_cleanup(handle);
		return;
	}
	scheme = part(handle, CURLUPART_SCHEME);
	host = part(handle, CURLUPART_HOST);
	port = part(handle, CURLUPART_PORT);
	MUST(curl_url_get(handle, CURLUPART_USER, &user, 0) == CURLUE_NO_USER);
	MUST(strcmp(scheme, parsed->https ? "https" : "http") == 0);
	MUST(atoi(port) == parsed->port);
	snprintf(bracketed, sizeof(bracketed), parsed->ipv6 ? "[%s]" : "%s", parsed->host);
	if (parsed->ipv6)
	{
		struct in6_addr ours;
		struct in6_addr theirs;

		host[strlen(host) - 1] = '\0';
		MUST(inet_pton(AF_INET6, parsed->host, &ours) == 1 &&
			 inet_pton(AF_INET6, host + 1, &theirs) == 1 &&
			 memcmp(&ours, &theirs, sizeof(ours)) == 0);
	}
	else
		MUST(strcasecmp(host, bracketed) == 0 || inet_pton(AF_INET, host, &ipv4) == 1);
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(handle);
}

static void
check_accepted(const char *url, size_t len, const KgwUrl *parsed)
{
	char		expected[KGW_DESTINATION_SIZE];
	KgwUrl		again;
	size_t		i;

	check_text(url, len);
	MUST(parsed->port >= 1 && parsed->port <= 65535);
	MUST(parsed->host[0] != '\0');
	for (i = 0; parsed->host[i] != '\0'; i++)
		MUST(is_host_char(parsed->host[i], parsed->ipv6));
	snprintf(expected, sizeof(expected), parsed->ipv6 ? "%s://[%s]:%d" : "%s://%s:%d",
			 parsed->https ? "https" : "http", parsed->host, parsed->port);
	MUST(strcmp(parsed->destination, expected) == 0);
	MUST(kgw_url_parse(expected, strlen(expected), &again) == NULL);
	MUST(memcmp(&again, parsed, sizeof(again)) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const KgwUrl nothing;
	KgwUrl		parsed;
	KgwPorts	all = {.n = 1, .range = {{1, 65535}}};
	KgwPorts	none = {.n = 0};
	const char *reason = kgw_url_parse((const char *) data, size, &parsed);
	char	   *url;

	if (reason != NULL)
	{
		MUST(reason[0] != '\0' && strlen(reason) < 100 && fuzz_is_printable(reason));
		MUST(memcmp(&parsed, &nothing, sizeof(parsed)) == 0);
		return 0;
	}
	check_accepted((const char *) data, size, &parsed);
	MUST(kgw_url_judge(&parsed, true, &all) == NULL);
	MUST(kgw_url_judge(&parsed, true, &none) != NULL);
	MUST((kgw_url_judge(&parsed, false, &all) == NULL) == parsed.https);
	url = fuzz_string(data, size);
	compare_with_libcurl(url, &parsed);
	free(url);
	return 0;
}
