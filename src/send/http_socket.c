/*-------------------------------------------------------------------------
 *
 * http_socket.c
 *	  To which address a request may go, and by which connection: a new one or a kept
 *	  one, and once only.
 *
 * The SSRF filter judges the resolved address when a socket is opened and
 * again before each request on a connection, so neither a name that changes
 * its address nor a kept-alive connection gets around it.
 *
 * libcurl sends a request a second time, unasked, when a reused connection dies
 * under it.  The log has one row for each attempt on the wire; so the second
 * sending of one transfer is refused, a new connection for it and in the
 * pre-request callback its use of another kept one.  Another attempt is ours to
 * make.
 *
 * What waits on a kept connection before it carries the next request is no
 * answer to it: such a connection is refused before anything is sent, and the
 * request goes by another.
 *
 * Which handshake, or which protocol, a connection has got stuck in is only to be seen
 * at its socket; libcurl says no more than that time is up.
 *
 * Callbacks run inside libcurl: they must never palloc, ereport or longjmp.
 *
 * src/send/http_socket.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pg/guc.h"
#include "pure/ip_filter.h"
#include "send/connection.h"
#include "send/http_socket.h"
#include "send/network/egress.h"
#include "send/network/local_addresses.h"
#include "shmem/point.h"

StaticAssertDecl(LIBCURL_VERSION_NUM >= 0x075000,
				 "libcurl 7.80.0 or newer is needed for CURLOPT_PREREQFUNCTION");

/*
 * Up to this size a body fits into what a kernel takes in for a receiver that
 * does not read yet; so if it isn't acknowledged, nobody is there.
 */
#define BODY_TAKEN (16 * 1024)

/* Why a connection to this address is refused, or NULL. */
static const char *
judge(const KgwHttpRequest *transfer, const struct sockaddr *address, size_t len)
{
	if (transfer->forbidden != NULL)
		return transfer->forbidden;
	return kgw_local_addresses_judge(address, len);
}

static int
before_lookup(void *resolver, void *reserved, void *arg)
{
	KgwHttpRequest *transfer = arg;

	transfer->resolving = true;
	return 0;
}

/* A socket that leaves from where it should. */
static curl_socket_t
make_socket(KgwHttpRequest *transfer, const struct curl_sockaddr *address)
{
	int			fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	const char *fault;

	if (fd < 0)
		return CURL_SOCKET_BAD;
	fault = kgw_egress_fault();
	if (fault == NULL)
		fault = kgw_egress_bind(fd, address->family);
	if (fault != NULL || !kgw_connection_opened(fd))
	{
		if (!transfer->opened)
			transfer->fault = fault;
		close(fd);
		return CURL_SOCKET_BAD;
	}
	transfer->opened = true;
	transfer->connected = false;
	transfer->fault = NULL;
	return fd;
}

static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	KgwHttpRequest *transfer = arg;
	const char *reason = judge(transfer, &address->addr, address->addrlen);

	transfer->resolving = false;
	if (transfer->sent)
	{
		transfer->resent = true;
		return CURL_SOCKET_BAD;
	}
	if (purpose != CURLSOCKTYPE_IPCXN)
		reason = "connection is not an outgoing one";
	if (reason != NULL)
	{
		/* of several addresses, one that may be tried decides the outcome */
		if (!transfer->opened)
			transfer->blocked = reason;
		return CURL_SOCKET_BAD;
	}
	transfer->blocked = NULL;
	return make_socket(transfer, address);
}

/* Look at the kept connection between these; false when it is not fit. */
static bool
take_kept(KgwHttpRequest *transfer, const struct sockaddr *remote, int remote_port,
		  int local_port)
{
	int			fd = kgw_connection_find(remote, remote_port, local_port);

	transfer->fd = fd;
	if (fd < 0 || kgw_connection_callback(fd)->doubtful || !kgw_connection_is_silent(fd))
		return false;
	transfer->kept = true;
	transfer->peer = kgw_connection_callback(fd)->peer;
	kgw_connection_be_patient(fd, transfer->body_sent <= BODY_TAKEN ?
						  kgw_settings.connect_timeout : 0);
	return true;
}

static int
before_request(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	KgwHttpRequest *transfer = arg;
	struct sockaddr_storage address;
	size_t		len;

	if (transfer->sent)
	{
		transfer->resent = true;
		return CURL_PREREQFUNC_ABORT;
	}
	if (!kgw_ip_filter_parse_address(remote_ip, &address, &len))
		transfer->blocked = "address can't be read";
	else
		transfer->blocked = judge(transfer, (struct sockaddr *) &address, len);
	if (transfer->blocked != NULL)
		return CURL_PREREQFUNC_ABORT;
	if (!transfer->opened && !take_kept(transfer, (struct sockaddr *) &address,
										remote_port, local_port))
	{
		transfer->unfit = true;
		return CURL_PREREQFUNC_ABORT;
	}
	transfer->sent = true;
	KGW_POINT("connected");
	return CURL_PREREQFUNC_OK;
}

/* Have these callbacks decide for the transfer: see http_socket.h. */
void
kgw_http_socket_guard(KgwHttpRequest *transfer, curl_closesocket_callback on_close)
{
	CURL	   *easy = transfer->easy;

	curl_easy_setopt(easy, CURLOPT_RESOLVER_START_FUNCTION, before_lookup);
	curl_easy_setopt(easy, CURLOPT_RESOLVER_START_DATA, transfer);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, before_request);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
}

static bool
is_plain(const KgwHttpRequest *transfer)
{
	return strncmp(transfer->url, "https:", 6) != 0;
}

/* The transfer waits for this socket: for CURL_POLL_IN, CURL_POLL_OUT or both. */
void
kgw_http_socket_waits(KgwHttpRequest *transfer, int fd, int what)
{
	KgwSocket  *socket = kgw_connection_callback(fd);

	transfer->fd = fd;
	if (!socket->ours || (what & CURL_POLL_IN) == 0)
		return;
	if (!transfer->sent)
		transfer->connected = true;
	else if (!transfer->kept && is_plain(transfer) && transfer->received == 0)
		socket->asker = transfer;
}

/*
 * The first answer over a connection has come: see what is spoken there.  From
 * libcurl one only learns that it isn't HTTP/1.1.
 */
void
kgw_http_socket_sniff(KgwHttpRequest *transfer, int fd)
{
	unsigned char begin[9];
	ssize_t		len = recv(fd, begin, sizeof(begin), MSG_PEEK | MSG_DONTWAIT);

	/* a record of TLS 1.x; a SETTINGS or GOAWAY frame of HTTP/2's stream 0 */
	if (len >= 3 && begin[0] >= 0x14 && begin[0] <= 0x17 && begin[1] == 3)
		transfer->speech = KGW_SPEAKS_TLS;
	else if (len == 9 && begin[0] == 0 && (begin[3] == 4 || begin[3] == 7) &&
			 memcmp(begin + 5, "\0\0\0\0", 4) == 0)
		transfer->speech = KGW_SPEAKS_HTTP2;
}
