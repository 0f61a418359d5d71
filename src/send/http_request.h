/*-------------------------------------------------------------------------
 *
 * http_request.h
 *	  Requests: prepared for libcurl, and concluded.
 *
 * src/send/http_request.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SEND_HTTP_REQUEST_H
#define KGW_SEND_HTTP_REQUEST_H

#include <curl/curl.h>

#include "send/http.h"

extern KgwHttpRequest *kgw_http_request_new(curl_closesocket_callback on_close);
extern void kgw_http_request_free(KgwHttpRequest *transfer);
extern void kgw_http_request_forget(KgwHttpRequest *transfer);
extern KgwHttpRequest *kgw_http_request_of(CURL *easy);
extern bool kgw_http_request_prepare(KgwHttpRequest *transfer, const KgwRequest *request);

#endif							/* KGW_SEND_HTTP_REQUEST_H */
