/*-------------------------------------------------------------------------
 *
 * http_client.h
 *	  Many HTTP requests at once, without blocking.
 *
 * src/send/http_client.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SEND_HTTP_CLIENT_H
#define KGW_SEND_HTTP_CLIENT_H

#include "pg/clock.h"

#define KGW_HTTP_HEADERS 8

/*
 * One POST.  URL and body belong to the caller and have to stay until the
 * response has been released; headers are copied.
 */
typedef struct KgwRequest
{
	const char *url;
	const char *body;
	size_t		body_len;
	const char *headers[KGW_HTTP_HEADERS];	/* "name: value"; NULL ends them */
	bool		fresh;			/* not by a connection that was used before */
} KgwRequest;

typedef enum KgwTransport
{
	KGW_HTTP_ANSWERED,			/* status line and headers arrived whole */
	KGW_HTTP_TIMED_OUT,
	KGW_HTTP_UNREACHABLE,
	KGW_HTTP_BLOCKED			/* by the address guard */
} KgwTransport;

typedef struct KgwResponse
{
	KgwTransport transport;
	int			status;			/* HTTP status; 0 unless answered */
	const char *body;			/* the beginning of it, any bytes */
	size_t		body_len;
	const char *error;			/* "" when answered */
	bool		dropped;		/* a kept connection ended before any answer */
	const char *retry_after;	/* the header's value, or "" */
	KgwTicks	duration;		/* microseconds */
} KgwResponse;

typedef struct KgwHttp KgwHttp;
typedef struct KgwHttpRequest KgwHttpRequest;

extern void kgw_http_client_init(void);
extern KgwHttp *kgw_http_client_new(void);
extern void kgw_http_client_free(KgwHttp *http);
extern bool kgw_http_client_send(KgwHttp *http, const KgwRequest *request, void *owner);
extern int	kgw_http_client_fd(const KgwHttp *http);
extern KgwTicks kgw_http_client_deadline(const KgwHttp *http);
extern void kgw_http_client_run(KgwHttp *http);
extern KgwHttpRequest *kgw_http_client_next(KgwHttp *http, void **owner, KgwResponse *response);
extern void kgw_http_client_release(KgwHttp *http, KgwHttpRequest *transfer);
extern int	kgw_http_client_hanging(KgwHttp *http);
extern void kgw_http_client_keep(KgwHttp *http, int connections);
extern void kgw_http_client_trim(KgwHttp *http, int keep);

#endif							/* KGW_SEND_HTTP_CLIENT_H */
