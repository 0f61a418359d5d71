/*-------------------------------------------------------------------------
 *
 * http.h
 *	  A request and its response, as they are asked for and handed out.
 *
 * src/send/http.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SEND_HTTP_H
#define KGW_SEND_HTTP_H

#include "pg/clock.h"
#include "pure/keyring.h"

#define KGW_HTTP_HEADERS 9

/*
 * One POST.  URL, destination and body belong to the caller and have to stay until the
 * response has been released, and so have headers.
 */
typedef struct KgwRequest
{
	const char *url;
	const char *destination;	/* of the URL */
	const char *body;
	size_t		body_len;
	const char *headers[KGW_HTTP_HEADERS];	/* "name: value"; NULL ends them */
	bool		fresh;			/* not by a connection that was used before */
	KgwCertificate *certificate;	/* to be shown, or NULL */
	KgwHeaders *extra;			/* headers besides, or NULL */
} KgwRequest;

typedef enum KgwTransport
{
	KGW_HTTP_ANSWERED,			/* status line and headers arrived whole */
	KGW_HTTP_TIMED_OUT,
	KGW_HTTP_UNREACHABLE,
	KGW_HTTP_BLOCKED			/* by the SSRF filter */
} KgwTransport;

typedef struct KgwResponse
{
	KgwTransport transport;
	int			status;			/* HTTP status; 0 unless answered */
	const char *body;			/* the beginning of it, any bytes */
	size_t		body_len;
	bool		reached;		/* the connection stood, and the request may be on it */
	const char *error;			/* "" when answered */
	bool		dropped;		/* a kept connection ended before any answer */
	const char *retry_after;	/* the header's value, or "" */
	KgwTicks	duration;		/* microseconds */
} KgwResponse;

typedef struct KgwHttpRequest KgwHttpRequest;

#endif							/* KGW_SEND_HTTP_H */
