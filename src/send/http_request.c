/*-------------------------------------------------------------------------
 *
 * http_request.c
 *	  One request on its way: an easy handle and what is collected for it.
 *
 * Here is what we tell libcurl about a request; to which addresses it may go, and by
 * which connections, is in http_socket.c, and what we accept from a receiver in
 * http_response.c.  Nothing of libcurl's helpfulness is wanted: no redirect,
 * proxy of the environment's, netrc, cookie, alternative service, content decoding or HTTP/0.9; a
 * request goes where its URL says, once.
 *
 * A kept connection that dies under a request says nothing of the receiver,
 * only that someone has closed or forgotten it in between.  The response says
 * that it was so.  Connections are not kept for long: less than what lies
 * between remembers an idle one, and not longer than a name's owner may expect
 * until a new address is found.
 *
 * Callbacks run inside libcurl: they must never palloc, ereport or longjmp.
 *
 * src/send/http_request.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pg/guc.h"
#include "pure/url.h"
#include "send/challenge.h"
#include "send/http_request.h"
#include "send/http_request_state.h"
#include "send/http_response.h"
#include "send/http_socket.h"
#include "send/network/ca_file.h"
#include "send/network/egress.h"
#include "send/tls_sessions.h"

/* Bodies larger than this are announced by libcurl, unless it is told not to. */
#define EXPECT_FROM (512 * 1024)

/*
 * What libcurl reads at once, the least it takes: it allocates as much for every request, and
 * malloc() keeps pieces of this size at hand, larger ones not.
 */
#define READ_AT_ONCE 1024

/*
 * What it writes at once of a body, the least it takes.  From 8.7 on it allocates as
 * much for every request, and by default four times that.
 */
#define WRITTEN_AT_ONCE (16 * 1024)

/* Seconds that a kept connection may have been idle, and that it may be old. */
#define IDLE_MAX 45L
#define AGE_MAX 60L

/* Seconds that a name's addresses are believed. */
#define NAME_AGE 5L

/* False when there is no memory. */
static bool
set_manners(CURL *easy)
{
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long) READ_AT_ONCE);
	curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long) WRITTEN_AT_ONCE);
	curl_easy_setopt(easy, CURLOPT_POST, 1L);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, IDLE_MAX);
	curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, AGE_MAX);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long) (CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	return curl_easy_setopt(easy, CURLOPT_USERAGENT, "kgwebhook/" KGW_VERSION) == CURLE_OK;
}

static void
set_callbacks(KgwHttpRequest *transfer, curl_closesocket_callback on_close)
{
	CURL	   *easy = transfer->easy;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
	curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, kgw_tls_sessions_on_context);
	kgw_http_socket_guard(transfer, on_close);
	kgw_http_response_listen(transfer);
}

/*
 * A transfer with its easy handle, to be used for one request after another:
 * a new handle each costs a quarter of the rate.  on_close is called in place
 * of close() for its sockets.  NULL when there is no memory.
 */
KgwHttpRequest *
kgw_http_request_new(curl_closesocket_callback on_close)
{
	KgwHttpRequest *transfer = calloc(1, sizeof(KgwHttpRequest));

	if (transfer == NULL)
		return NULL;
	transfer->easy = curl_easy_init();
	if (transfer->easy == NULL || !set_manners(transfer->easy) ||
		!kgw_egress_set_proxy(transfer->easy))
	{
		curl_easy_cleanup(transfer->easy);
		free(transfer);
		return NULL;
	}
	transfer->egress = kgw_egress_revision();
	set_callbacks(transfer, on_close);
	return transfer;
}

/*
 * The transfer of this handle, or NULL.  libcurl 8 has handles of its own
 * besides, for lookups and shutdowns, which are no transfers of ours.
 */
KgwHttpRequest *
kgw_http_request_of(CURL *easy)
{
	KgwHttpRequest *transfer = NULL;

	return curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer) == CURLE_OK ? transfer : NULL;
}

/* Free a transfer that no multi handle knows any more. */
void
kgw_http_request_free(KgwHttpRequest *transfer)
{
	curl_easy_cleanup(transfer->easy);
	kgw_keyring_certificate_release(transfer->certificate);
	free(transfer->url);
	free(transfer->body);
	free(transfer);
}

/*
 * libcurl only reads the list, while the request lasts; so it is made of our own
 * nodes, which point at the request's lines, rather than of a dozen allocations.
 */
static void
set_headers(KgwHttpRequest *transfer, const KgwRequest *request)
{
	static char content_type[] = "Content-Type: application/json";
	static char no_expect[] = "Expect:";
	struct curl_slist *node = transfer->headers;

	node->data = content_type;
	/* libcurl would wait for a "100 Continue" before a large body */
	if (request->body_len > EXPECT_FROM)
	{
		node->next = node + 1;
		(++node)->data = no_expect;
	}
	for (int i = 0; i < KGW_HTTP_HEADERS && request->headers[i] != NULL; i++)
	{
		node->next = node + 1;
		(++node)->data = unconstify(char *, request->headers[i]);
	}
	for (int i = 0; request->extra != NULL && i < request->extra->count; i++)
	{
		node->next = node + 1;
		(++node)->data = request->extra->lines[i];
	}
	node->next = NULL;
	curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
}

/*
 * False when there is no memory.  Nothing is left for libcurl to rewrite, which is not what
 * was signed: the request line is ours, byte by byte (8.22 would write a "%2e" as "%2E"), and
 * an IPv6 address is in its canonical form (up to 8.22 others are shortened; 8.23 rewrites
 * them all).
 */
static bool
set_url(KgwHttpRequest *transfer, const char *url)
{
	size_t		size = strlen(url) + 1;
	KgwUrl		parsed;
	char	   *target;
	char	   *canonical;

	if (transfer->url != NULL && strcmp(transfer->url, url) == 0)
		return true;
	free(transfer->url);
	transfer->url = malloc(size + (size + 1) + (KGW_DESTINATION_SIZE + size + 1));
	if (transfer->url == NULL)
		return false;
	target = transfer->url + size;
	canonical = target + size + 1;
	memcpy(transfer->url, url, size);
	kgw_url_target(url, target);
	if (strchr(url, '[') != NULL && kgw_url_parse(url, size - 1, &parsed) == NULL && parsed.ipv6)
		snprintf(canonical, KGW_DESTINATION_SIZE + size + 1, "%s%s", parsed.destination, target);
	else
		memcpy(canonical, url, size);
	if (curl_easy_setopt(transfer->easy, CURLOPT_URL, canonical) == CURLE_OK &&
		curl_easy_setopt(transfer->easy, CURLOPT_REQUEST_TARGET, target) == CURLE_OK)
		return true;
	free(transfer->url);
	transfer->url = NULL;
	return false;
}

static bool
reserve_body(KgwHttpRequest *transfer)
{
	size_t		room = Max((size_t) kgw_settings.response_body_limit, KGW_CHALLENGE_ROOM);

	if (transfer->body == NULL || transfer->body_room != room)
	{
		free(transfer->body);
		transfer->body = malloc(room + 1);
		transfer->body_room = transfer->body ? room : 0;
	}
	return transfer->body != NULL;
}

/*
 * Have the handle show a certificate, or none, for which it needs no memory.  It points into what
 * we hold.  False when there is no memory.
 */
static bool
show_certificate(KgwHttpRequest *transfer, KgwCertificate *certificate)
{
	struct curl_blob pem = {.flags = CURL_BLOB_NOCOPY};
	struct curl_blob key = {.flags = CURL_BLOB_NOCOPY};

	if (transfer->certificate == certificate)
		return true;
	if (certificate != NULL)
	{
		pem.data = certificate->certificate;
		pem.len = certificate->certificate_len;
		key.data = certificate->key;
		key.len = certificate->key_len;
	}
	if (curl_easy_setopt(transfer->easy, CURLOPT_SSLCERT_BLOB, certificate != NULL ? &pem : NULL) != CURLE_OK ||
		curl_easy_setopt(transfer->easy, CURLOPT_SSLKEY_BLOB, certificate != NULL ? &key : NULL) != CURLE_OK)
		return false;
	kgw_keyring_certificate_release(transfer->certificate);
	transfer->certificate = kgw_keyring_certificate_share(certificate);
	return true;
}

/*
 * The request is over: its handle waits for the next one, and has none of this one's lines
 * nor anyone's private key.  What a kept connection was made with is in OpenSSL's memory for as
 * long as that lasts.
 */
void
kgw_http_request_forget(KgwHttpRequest *transfer)
{
	curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, NULL);
	memset(transfer->headers, 0, sizeof(transfer->headers));
	(void) show_certificate(transfer, NULL);
}

/*
 * Through which proxy it goes, and whom it trusts, by the settings of the moment.  False when
 * there is no memory.
 */
static bool
set_way(KgwHttpRequest *transfer, const KgwRequest *request)
{
	transfer->proxied = kgw_egress_proxied();
	transfer->forbidden = transfer->proxied ? kgw_egress_judge(request->url) : NULL;
	if (transfer->egress != kgw_egress_revision() && !kgw_egress_set_proxy(transfer->easy))
		return false;
	transfer->egress = kgw_egress_revision();
	if (transfer->trust != kgw_ca_file_generation() + 1 &&
		!kgw_ca_file_trust(transfer->easy, CURLOPT_CAINFO, CURLOPT_CAPATH))
		return false;
	transfer->trust = kgw_ca_file_generation() + 1;
	return show_certificate(transfer, request->certificate);
}

/*
 * Make the transfer ready for this request, by the settings of the moment.
 * False when there is no memory.
 */
bool
kgw_http_request_prepare(KgwHttpRequest *transfer, const KgwRequest *request)
{
	CURL	   *easy = transfer->easy;

	transfer->stranded = false;
	transfer->resolving = false;
	transfer->opened = false;
	transfer->connected = false;
	transfer->kept = false;
	transfer->sent = false;
	transfer->speech = KGW_SPEAKS_ANY;
	transfer->blocked = NULL;
	transfer->fault = NULL;
	transfer->unfit = false;
	transfer->resent = false;
	transfer->dropped = false;
	transfer->too_long = false;
	transfer->garbled = false;
	transfer->lines = 0;
	transfer->looks = 0;
	transfer->fd = -1;
	transfer->headers_done = false;
	transfer->received = 0;
	transfer->body_len = 0;
	transfer->retry_after[0] = '\0';
	transfer->error[0] = '\0';

	transfer->body_sent = request->body_len;
	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long) request->fresh);
	curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, request->fresh ? 0L : NAME_AGE);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) request->body_len);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) kgw_settings.request_timeout);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) kgw_settings.connect_timeout);
	set_headers(transfer, request);
	return set_way(transfer, request) && reserve_body(transfer) && set_url(transfer, request->url);
}
