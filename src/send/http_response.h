/*-------------------------------------------------------------------------
 *
 * http_response.h
 *	  What a receiver may say, counted and cut.
 *
 * src/send/http_response.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SEND_HTTP_RESPONSE_H
#define KGW_SEND_HTTP_RESPONSE_H

#include "send/http_request_state.h"

/* Have the handle collect the response. */
extern void kgw_http_response_listen(KgwHttpRequest *transfer);

#endif							/* KGW_SEND_HTTP_RESPONSE_H */
