/*-------------------------------------------------------------------------
 *
 * http_request_state.h
 *	  One request on its way: an easy handle and what is collected for it.
 *
 * src/send/http_request_state.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SEND_HTTP_REQUEST_STATE_H
#define KGW_SEND_HTTP_REQUEST_STATE_H

#include <curl/curl.h>

#include "lib/ilist.h"

#include "send/http.h"

#define KGW_RETRY_AFTER_SIZE 64

/* What a connection's first answer begins with, where the port is for HTTP. */
typedef enum KgwSpeech
{
	KGW_SPEAKS_ANY,				/* HTTP/1.1, or something that nobody knows */
	KGW_SPEAKS_TLS,
	KGW_SPEAKS_HTTP2
} KgwSpeech;

struct KgwHttpRequest
{
	dlist_node	node;			/* in the client's list of used or unused ones */
	CURL	   *easy;
	char	   *url;			/* the one the handle has; malloc'd */
	struct curl_slist headers[KGW_HTTP_HEADERS + 2 + KGW_REQUEST_HEADERS_MAX];
	void	   *owner;			/* the caller's */
	struct KgwMulti *multi;		/* by which it goes */
	struct KgwTlsSession *session;	/* of its destination, while it lasts; or NULL */
	bool		shares;			/* its handle has had a share */
	uint32		egress;			/* the revision of its handle's proxy */
	uint32		trust;			/* the generation of its handle's authorities, and 1; or 0 */
	bool		proxied;
	KgwCertificate *certificate;	/* its handle shows this one, held; or NULL */
	KgwTicks	started;
	int			fd;				/* of its connection, or -1: not known */
	uint64		received_before;	/* bytes of that before the body was watched */

	bool		stranded;		/* libcurl waits for nothing before it has connected */
	bool		resolving;		/* the name is being looked up, or was when it ended */
	bool		opened;			/* a socket, to an address that is allowed */
	bool		connected;		/* to the port; what follows is a TLS handshake */
	bool		kept;			/* the connection was there before */
	struct sockaddr_storage peer;	/* of a kept one */
	bool		sent;			/* bytes of this request may be on the wire */
	KgwSpeech	speech;			/* what the other side speaks instead of HTTP/1.1 */
	const char *forbidden;		/* why a proxy must not be asked for the host, or NULL */
	const char *blocked;		/* why the SSRF filter refused, or NULL */
	const char *fault;			/* why it could not leave this server, or NULL */
	bool		unfit;			/* a kept connection was refused, unused */
	bool		resent;			/* a second sending was refused */
	bool		dropped;		/* a kept connection ended before any answer */
	bool		too_long;		/* the answer was cut off */
	bool		garbled;		/* its status line is none */
	int			lines;			/* of headers and trailers, 1xx included */
	int			looks;			/* at the progress of the body */
	bool		headers_done;	/* of a final answer, not of a 1xx */
	size_t		body_sent;		/* bytes of the request's */
	size_t		received;		/* bytes of headers and body */
	char	   *body;			/* malloc'd, room for body_room bytes */
	size_t		body_len;
	size_t		body_room;
	char		retry_after[KGW_RETRY_AFTER_SIZE];
	char		error[CURL_ERROR_SIZE];
};

#endif							/* KGW_SEND_HTTP_REQUEST_STATE_H */
