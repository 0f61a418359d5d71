/*-------------------------------------------------------------------------
 *
 * http_result.h
 *	  What became of a request, when libcurl is done with it.
 *
 * src/send/http_result.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SEND_HTTP_RESULT_H
#define KGW_SEND_HTTP_RESULT_H

#include "send/http_request_state.h"

extern void kgw_http_result(KgwHttpRequest *transfer, CURLcode code, KgwResponse *response);

#endif							/* KGW_SEND_HTTP_RESULT_H */
