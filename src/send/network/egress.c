/*-------------------------------------------------------------------------
 *
 * egress.c
 *	  How requests leave: from which address, and through which proxy.
 *
 * Sockets are made by us (http_socket.c), so we bind them ourselves as well: libcurl's
 * own option takes a name that is no interface for a host's and looks it up.  Where
 * a source is set, nothing leaves by another: receivers let only that one in, and an
 * operator who named it wants to know that it is gone.
 *
 * A proxy is asked by CONNECT, for http:// too, so that it only sees where a
 * request goes and neither reads nor changes it.  Our own headers go through the tunnel,
 * never to the proxy.  Its credentials are in a file: see pure/egress_settings.c for why.
 *
 * What was decided at one reload must not live on in a kept connection after the next.
 * So there is a revision number, and the client begins with new handles when it moves on.
 *
 * The functions for callbacks of libcurl never palloc, ereport or longjmp.
 *
 * src/send/network/egress.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pg/guc.h"
#include "secrets/private_file.h"
#include "send/network/ca_file.h"
#include "send/network/egress.h"
#include "send/network/local_addresses.h"

/* Longest user and password. */
#define CREDENTIALS_MAX 512

/* As of the last look. */
static KgwSource source;
static KgwProxy proxy;
static char credentials[CREDENTIALS_MAX + 1];	/* user, NUL, password */
static const char *password;	/* in there, or NULL: none are sent */
static const char *fault;		/* why no request can leave, or NULL */
static uint32 trust;			/* the CA file's generation */
static uint32 revision;

/* Take user:password out of the file's text; a sentence on what is wrong, or NULL. */
static const char *
parse_credentials(char *text, size_t len)
{
	char	   *colon;

	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	text[len] = '\0';
	if (memchr(text, '\0', len) != NULL || strpbrk(text, "\r\n") != NULL)
		return "It has more than one line.";
	colon = strchr(text, ':');
	if (colon == NULL || colon == text)
		return "It is not user:password.";
	*colon = '\0';
	password = colon + 1;
	return NULL;
}

/*
 * Wipe the proxy's credentials.  A worker keeps them; another process that has looked has no
 * use for them once its requests are over.
 */
void
kgw_egress_forget(void)
{
	explicit_bzero(credentials, sizeof(credentials));
	password = NULL;
}

/* Read the file, if one is set.  A sentence on what is wrong with it, or NULL. */
static const char *
read_credentials(void)
{
	const char *path = kgw_settings.proxy_credentials_file;
	const char *problem;
	size_t		len;

	kgw_egress_forget();
	if (kgw_settings.proxy->url[0] == '\0' || path == NULL || path[0] == '\0')
		return NULL;
	problem = kgw_private_file_read(path, credentials, CREDENTIALS_MAX, &len);
	if (problem == NULL)
		problem = parse_credentials(credentials, len);
	if (problem == NULL)
		return NULL;
	kgw_egress_forget();
	return problem;
}

/* As kgw_egress_look(); a sentence on what is wrong with the file of credentials, or NULL. */
static const char *
look(void)
{
	char		before[sizeof(credentials)];
	const char *fault_before = fault;
	const char *problem;

	memcpy(before, credentials, sizeof(before));
	problem = read_credentials();
	fault = problem != NULL ? "the file of kgwebhook.proxy_credentials_file cannot be used" : NULL;
	if (memcmp(before, credentials, sizeof(before)) != 0 || fault != fault_before ||
		memcmp(&source, kgw_settings.source, sizeof(source)) != 0 ||
		memcmp(&proxy, kgw_settings.proxy, sizeof(proxy)) != 0 ||
		(kgw_settings.proxy->https && trust != kgw_ca_file_generation()))
		revision++;
	explicit_bzero(before, sizeof(before));
	source = *kgw_settings.source;
	proxy = *kgw_settings.proxy;
	trust = kgw_ca_file_generation();
	return problem;
}

/*
 * Take the settings over, and read the file of credentials again.  To be called before the
 * first request, and after each reload, when kgw_ca_file_look() has been; the log is told
 * what keeps requests from leaving.
 */
void
kgw_egress_look(void)
{
	const char *problem = look();
	const char *no_source = kgw_egress_no_source();

	if (problem != NULL)
		ereport(LOG,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("kgwebhook sends nothing: %s", fault),
				 errdetail("%s", problem),
				 errhint("The file must have user:password in one line and permissions 0600, belong to the user that"
						 " the server runs as, and lie outside the data directory.  Fix it, then reload the configuration.")));
	if (no_source != NULL)
		ereport(LOG,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("kgwebhook sends nothing: %s", no_source),
				 errhint("Set \"kgwebhook.source_address\" to an address or an interface of this server, and reload the configuration.")));
#ifdef CURL_VERSION_HTTPS_PROXY
	if (proxy.https && (curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_HTTPS_PROXY) == 0)
		ereport(LOG,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("kgwebhook sends nothing: libcurl was built without TLS to proxies"),
				 errhint("Set \"kgwebhook.proxy\" to an http:// URL, or install another libcurl.")));
#endif
}

/* Another one after each change of what this file is about. */
uint32
kgw_egress_revision(void)
{
	return revision;
}

bool
kgw_egress_proxied(void)
{
	return proxy.url[0] != '\0';
}

/* Why no request can leave by the settings of the last look, or NULL. */
const char *
kgw_egress_fault(void)
{
	return fault;
}

static const char *
bind_interface(int fd)
{
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, source.interface,
				   strlen(source.interface) + 1) == 0)
		return NULL;
	return errno == ENODEV ? "kgwebhook.source_address names no interface of this server" :
		"the kernel does not let the server use the interface of kgwebhook.source_address";
}

/* Which port is left to connect(): it can then be one that others have to elsewhere. */
static const char *
bind_address(int fd, const struct sockaddr *address, socklen_t len)
{
	int			on = 1;

	(void) setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(fd, address, len) == 0)
		return NULL;
	return "kgwebhook.source_address is not an address of this server";
}

/*
 * Have a socket that is not connected yet leave from where it should.  A static reason why
 * it cannot, or NULL.
 */
const char *
kgw_egress_bind(int fd, int family)
{
	struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_addr = source.ipv4};
	struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6, .sin6_addr = source.ipv6};

	if (source.interface[0] != '\0')
		return bind_interface(fd);
	if (!source.has_ipv4 && !source.has_ipv6)
		return NULL;
	if (family == AF_INET)
		return source.has_ipv4 ? bind_address(fd, (struct sockaddr *) &ipv4, sizeof(ipv4)) :
			"kgwebhook.source_address has no IPv4 address";
	return source.has_ipv6 ? bind_address(fd, (struct sockaddr *) &ipv6, sizeof(ipv6)) :
		"kgwebhook.source_address has no IPv6 address";
}

/* Whether a socket of that family could be bound: a static reason why not, or NULL. */
static const char *
try_bind(int family)
{
	int			fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const char *reason;

	/* out of descriptors, or without that family: nothing is known */
	if (fd < 0)
		return NULL;
	reason = kgw_egress_bind(fd, family);
	close(fd);
	return reason;
}

/* Why nothing can leave from the source as of the last look, or NULL. */
const char *
kgw_egress_no_source(void)
{
	const char *reason = NULL;

	if (source.interface[0] != '\0' || source.has_ipv4)
		reason = try_bind(AF_INET);
	if (reason == NULL && source.has_ipv6)
		reason = try_bind(AF_INET6);
	return reason;
}

/*
 * What is wrong with how requests leave at this moment, or NULL; nothing is logged, and
 * credentials are held afterwards only where they were before.
 */
const char *
kgw_egress_try(void)
{
	bool		held = password != NULL;

	(void) look();
	if (!held)
		kgw_egress_forget();
	return fault != NULL ? fault : kgw_egress_no_source();
}

/*
 * Why a host that only the proxy will look up is refused by its name alone, or NULL:
 * an address that is not allowed, or the name of the proxy itself.
 */
const char *
kgw_egress_judge(const char *text)
{
	struct sockaddr_storage address;
	size_t		len;
	KgwUrl		url;

	if (kgw_url_parse(text, strlen(text), &url) != NULL)
		return "host is not known";
	if (kgw_egress_settings_is_localhost(url.host))
		return "host is the proxy's own";
	if (!kgw_egress_settings_literal_address(url.host, &address, &len))
		return NULL;
	return kgw_local_addresses_judge((struct sockaddr *) &address, len);
}

/* The way to the proxy is as trusted as that to a receiver. */
static bool
set_proxy_tls(CURL *easy)
{
	curl_easy_setopt(easy, CURLOPT_PROXY_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYHOST, 2L);
	return kgw_ca_file_trust(easy, CURLOPT_PROXY_CAINFO, CURLOPT_PROXY_CAPATH);
}

/*
 * Have a request go through the proxy, or straight where there is none.  False when there is
 * no memory: the handle may then know no proxy, and must not be used.
 */
bool
kgw_egress_set_proxy(CURL *easy)
{
	bool		proxied = kgw_egress_proxied();

	if (curl_easy_setopt(easy, CURLOPT_PROXY, proxy.url) != CURLE_OK ||
		curl_easy_setopt(easy, CURLOPT_NOPROXY, proxied ? "" : "*") != CURLE_OK)
		return false;
	if (!proxied)
		return true;
	curl_easy_setopt(easy, CURLOPT_HTTPPROXYTUNNEL, 1L);
	curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(easy, CURLOPT_HEADEROPT, (long) CURLHEADER_SEPARATE);
	curl_easy_setopt(easy, CURLOPT_PROXYAUTH, (long) CURLAUTH_BASIC);
	if (curl_easy_setopt(easy, CURLOPT_PROXYUSERNAME, password != NULL ? credentials : NULL) != CURLE_OK ||
		curl_easy_setopt(easy, CURLOPT_PROXYPASSWORD, password) != CURLE_OK)
		return false;
	return !proxy.https || set_proxy_tls(easy);
}
