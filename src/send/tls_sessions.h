/*-------------------------------------------------------------------------
 *
 * tls_sessions.h
 *	  TLS sessions of destinations, for the next handshake to resume.
 *
 * src/send/tls_sessions.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SEND_TLS_SESSIONS_H
#define KGW_SEND_TLS_SESSIONS_H

#include "send/http_request_state.h"

typedef struct KgwTlsSessions KgwTlsSessions;

extern KgwTlsSessions *kgw_tls_sessions_new(void);
extern void kgw_tls_sessions_free(KgwTlsSessions *sessions);
extern CURLcode kgw_tls_sessions_on_context(CURL *easy, void *context, void *arg);
extern void kgw_tls_sessions_join(KgwTlsSessions *sessions, KgwHttpRequest *transfer,
								  const char *destination, const KgwCertificate *certificate);
extern void kgw_tls_sessions_leave(KgwTlsSessions *sessions, KgwHttpRequest *transfer);
extern void kgw_tls_sessions_forget(KgwTlsSessions *sessions);

#endif							/* KGW_SEND_TLS_SESSIONS_H */
