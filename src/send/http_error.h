/*-------------------------------------------------------------------------
 *
 * http_error.h
 *	  Why a request got no answer, in words.
 *
 * src/send/http_error.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SEND_HTTP_ERROR_H
#define KGW_SEND_HTTP_ERROR_H

#include "send/http_request_state.h"

extern const char *kgw_http_error_text(const KgwHttpRequest *transfer, CURLcode code);

#endif							/* KGW_SEND_HTTP_ERROR_H */
