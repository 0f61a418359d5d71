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

#include "send/http.h"

typedef struct KgwHttp KgwHttp;

extern void kgw_http_client_init(void);
extern KgwHttp *kgw_http_client_new(void);
extern void kgw_http_client_free(KgwHttp *http);
extern bool kgw_http_client_send(KgwHttp *http, const KgwRequest *request, void *owner);
extern int	kgw_http_client_fd(const KgwHttp *http);
extern KgwTicks kgw_http_client_deadline(KgwHttp *http);
extern void kgw_http_client_run(KgwHttp *http);
extern KgwHttpRequest *kgw_http_client_next(KgwHttp *http, void **owner, KgwResponse *response);
extern void kgw_http_client_release(KgwHttp *http, KgwHttpRequest *transfer);
extern int	kgw_http_client_hanging(KgwHttp *http);
extern void kgw_http_client_limit(KgwHttp *http, int in_flight, int idle);
extern void kgw_http_client_renew(KgwHttp *http);

#endif							/* KGW_SEND_HTTP_CLIENT_H */
