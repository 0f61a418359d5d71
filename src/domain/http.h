/*-------------------------------------------------------------------------
 *
 * http.h
 *	  Many HTTP requests at once, without blocking.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_HTTP_H
#define KGW_HTTP_H

#include "services/clock.h"

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
typedef struct KgwTransfer KgwTransfer;

extern void kgw_http_init(void);
extern KgwHttp *kgw_http_new(void);
extern void kgw_http_free(KgwHttp *http);
extern bool kgw_http_send(KgwHttp *http, const KgwRequest *request, void *owner);
extern int	kgw_http_fd(const KgwHttp *http);
extern KgwTicks kgw_http_deadline(const KgwHttp *http);
extern void kgw_http_run(KgwHttp *http);
extern KgwTransfer *kgw_http_next(KgwHttp *http, void **owner, KgwResponse *response);
extern void kgw_http_release(KgwHttp *http, KgwTransfer *transfer);
extern int	kgw_http_hanging(KgwHttp *http);
extern void kgw_http_keep(KgwHttp *http, int connections);
extern void kgw_http_trim(KgwHttp *http, int keep);

#endif							/* KGW_HTTP_H */
