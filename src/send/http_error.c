/*-------------------------------------------------------------------------
 *
 * http_error.c
 *	  Why a request got no answer, in words.
 *
 * What stands in delivery_log's "error" may be shown to the merchant whose URL
 * it was, and whatever role chooses URLs may be probing.  So the words are ours, from
 * a fixed list: no address that a name led to, no number of milliseconds, and
 * nothing that the other side said about itself, all of which libcurl's own
 * messages have in them.  For a request that the SSRF filter blocked there is one
 * sentence only: which network it was, or whether it was this very host, is
 * what a scanner wants to know.
 *
 * An operator needs to know the step that failed, and for a
 * certificate exactly what is wrong with it, so that is told.  What libcurl said
 * is read to find that out, never passed on.  What is spoken on a port where
 * HTTP/1.1 was expected is everyone's to see who connects to it.
 *
 * src/send/http_error.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/x509_vfy.h>

#include "send/http_error.h"

/* What was being waited for when the time was over. */
static const char *
late(const KgwHttpRequest *transfer)
{
	if (transfer->sent)
		return "no answer came in time";
	if (!transfer->opened)
		return "the host's name was not resolved in time";
	return transfer->connected ? "the TLS handshake was not done in time" :
		"no connection was made in time";
}

static const char *
not_connected(const KgwHttpRequest *transfer)
{
	long		os_error = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_OS_ERRNO, &os_error);
	switch (os_error)
	{
		case ECONNREFUSED:
			return "the connection was refused";
		case ENETUNREACH:
		case EHOSTUNREACH:
			return "there is no route to the host";
		case EMFILE:
		case ENFILE:
			return "there are no file descriptors left";
		default:
			return "no connection could be made";
	}
}

/* What is wrong with a certificate; the numbers are OpenSSL's. */
static const char *
not_verified(const KgwHttpRequest *transfer)
{
	long		result = X509_V_OK;

	/* the name is checked last, and has no result of its own */
	if (strstr(transfer->error, "subject name") != NULL ||
		strstr(transfer->error, "common name") != NULL)
		return "the certificate is for another host";
	curl_easy_getinfo(transfer->easy, CURLINFO_SSL_VERIFYRESULT, &result);
	switch (result)
	{
		case X509_V_ERR_CERT_HAS_EXPIRED:
			return "the certificate, or one that it depends on, has expired";
		case X509_V_ERR_CERT_NOT_YET_VALID:
			return "the certificate, or one that it depends on, is not valid yet";
		case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
			return "the certificate is self-signed";
		case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
			return "the certificate's authority is not trusted";
		case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
		case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
		case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
			return "the certificate's issuer is not known: its authority is not trusted,"
				" or the receiver leaves an intermediate certificate out";
		case X509_V_ERR_CERT_REVOKED:
			return "the certificate was revoked";
		case X509_V_ERR_HOSTNAME_MISMATCH:
		case X509_V_ERR_IP_ADDRESS_MISMATCH:
			return "the certificate is for another host";
		case X509_V_ERR_INVALID_PURPOSE:
			return "the certificate is not for a server";
		case X509_V_ERR_EE_KEY_TOO_SMALL:
		case X509_V_ERR_CA_KEY_TOO_SMALL:
		case X509_V_ERR_CA_MD_TOO_WEAK:
			return "the certificate, or one that it depends on, is too weak";
		default:
			return "the certificate could not be verified";
	}
}

static const char *
certificate_error(const KgwHttpRequest *transfer)
{
	return transfer->certificate == NULL ?
		"the other side requires a client certificate, and kgwebhook has none" :
		"the other side does not accept the client certificate";
}

/* As the other side's alert has it. */
static bool
wants_certificate(const KgwHttpRequest *transfer)
{
	return strstr(transfer->error, "certificate required") != NULL ||
		strstr(transfer->error, "alert bad certificate") != NULL ||
		strstr(transfer->error, "alert unknown ca") != NULL;
}

static const char *
no_handshake(const KgwHttpRequest *transfer)
{
	if (strstr(transfer->error, "protocol version") != NULL ||
		strstr(transfer->error, "unsupported protocol") != NULL)
		return "the other side does not offer TLS 1.2 or newer";
	if (strstr(transfer->error, "wrong version number") != NULL ||
		strstr(transfer->error, "packet length too long") != NULL)
		return "the other side does not speak TLS on this port";
	if (strstr(transfer->error, "no application protocol") != NULL)
		return "the other side does not speak HTTP/1.1, by its TLS handshake";
	if (wants_certificate(transfer))
		return certificate_error(transfer);
	if (transfer->certificate != NULL && strstr(transfer->error, "alert") != NULL)
		return "the other side refused the TLS handshake: it may not accept the client certificate";
	if (strstr(transfer->error, "handshake failure") != NULL)
		return "the other side refused the TLS handshake: it may require a client"
			" certificate, which kgwebhook has none of, or have no cipher in common";
	return "the TLS handshake failed";
}

/* It connected, sent the request, and got something that is no answer. */
static const char *
not_http(const KgwHttpRequest *transfer)
{
	switch (transfer->speech)
	{
		case KGW_SPEAKS_TLS:
			return "the other side speaks TLS on this port: its URL has to begin with https";
		case KGW_SPEAKS_HTTP2:
			return "the other side speaks HTTP/2 on this port, and not HTTP/1.1";
		default:
			return "the answer is not HTTP/1.1";
	}
}

static const char *
broken_off(const KgwHttpRequest *transfer)
{
	/* by TLS 1.3 it says so only after the handshake */
	return wants_certificate(transfer) ? certificate_error(transfer) : "the connection broke";
}

/* What the proxy answered instead of a tunnel. */
static const char *
proxy_refused(long status)
{
	switch (status)
	{
		case 407:
			return "kgwebhook.proxy requires credentials, or refuses those that it was sent";
		case 502:
		case 503:
		case 504:
			return "kgwebhook.proxy could not connect to the host";
		default:
			return "kgwebhook.proxy refused to connect to the host";
	}
}

/* Why there is no tunnel through the proxy; NULL when there is one. */
static const char *
no_tunnel(const KgwHttpRequest *transfer, CURLcode code)
{
	long		status = 0;

	if (!transfer->proxied || transfer->sent)
		return NULL;
	curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_CONNECTCODE, &status);
	if (status >= 200 && status <= 299)
		return NULL;
	if (status != 0)
		return proxy_refused(status);
	switch (code)
	{
		case CURLE_COULDNT_RESOLVE_PROXY:
			return "the name of kgwebhook.proxy could not be resolved";
		case CURLE_COULDNT_CONNECT:
			return "no connection to kgwebhook.proxy could be made";
		case CURLE_PEER_FAILED_VERIFICATION:
			return "the certificate of kgwebhook.proxy could not be verified";
		case CURLE_SSL_CONNECT_ERROR:
			return "the TLS handshake with kgwebhook.proxy failed";
		case CURLE_OPERATION_TIMEDOUT:
			return transfer->connected ? "kgwebhook.proxy did not connect to the host in time" :
				"no connection to kgwebhook.proxy was made in time";
		case CURLE_OUT_OF_MEMORY:
		case CURLE_SSL_CACERT_BADFILE:
			return NULL;
		default:
			return "kgwebhook.proxy broke the connection off before there was a tunnel";
	}
}

/*
 * A static text for a transfer that ended with "code" and without an answer.
 * Good for the eyes of the URL's author.
 */
const char *
kgw_http_error_text(const KgwHttpRequest *transfer, CURLcode code)
{
	const char *tunnel;

	if (transfer->blocked != NULL)
		return transfer->proxied && transfer->forbidden == NULL ?
			"the address of kgwebhook.proxy is not allowed" : "the host's address is not allowed";
	if (transfer->fault != NULL)
		return transfer->fault;
	if (transfer->resent || transfer->dropped)
		return "the kept-alive connection was closed before an answer came";
	if (transfer->too_long)
		return "the answer's headers are too long";
	if (transfer->garbled)
		return not_http(transfer);
	tunnel = no_tunnel(transfer, code);
	if (tunnel != NULL)
		return tunnel;
	switch (code)
	{
		case CURLE_OK:
			return "the answer ended within its headers";
		case CURLE_COULDNT_RESOLVE_HOST:
			return "the host's name could not be resolved";
		case CURLE_COULDNT_CONNECT:
			return not_connected(transfer);
		case CURLE_OPERATION_TIMEDOUT:
			return late(transfer);
		case CURLE_PEER_FAILED_VERIFICATION:
			return not_verified(transfer);
		case CURLE_SSL_CONNECT_ERROR:
			return no_handshake(transfer);
		case CURLE_SSL_CERTPROBLEM:
			return "the client certificate could not be used";
		case CURLE_SSL_CACERT_BADFILE:
			return "the certificate authorities of kgwebhook.ca_file could not be read";
		case CURLE_GOT_NOTHING:
			return "the connection was closed without an answer";
		case CURLE_SEND_ERROR:
		case CURLE_RECV_ERROR:
			return broken_off(transfer);
		case CURLE_UNSUPPORTED_PROTOCOL:
		case CURLE_WEIRD_SERVER_REPLY:
			return not_http(transfer);
#if LIBCURL_VERSION_NUM >= 0x080600
		case CURLE_TOO_LARGE:
			return "the answer's headers are too long";
#endif
		case CURLE_PARTIAL_FILE:
			return "the answer ended within its headers";
		case CURLE_URL_MALFORMAT:
			return "the URL could not be read";
		case CURLE_OUT_OF_MEMORY:
			return "out of memory";
		default:
			return "the request could not be made";
	}
}
