/*-------------------------------------------------------------------------
 *
 * http_socket.h
 *	  To which address a request may go, and by which connection.
 *
 * src/send/http_socket.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SEND_HTTP_SOCKET_H
#define KGW_SEND_HTTP_SOCKET_H

#include "send/http_request_state.h"

/*
 * Have the handle of a transfer ask before it looks a name up, opens a socket, and sends a
 * request over one.  on_close is called in place of close() for its sockets.  Why it was
 * refused is in the transfer: blocked, fault, unfit or resent.
 */
extern void kgw_http_socket_guard(KgwHttpRequest *transfer, curl_closesocket_callback on_close);

/* The transfer waits for this socket: for CURL_POLL_IN, CURL_POLL_OUT or both. */
extern void kgw_http_socket_waits(KgwHttpRequest *transfer, int fd, int what);

/* The first answer over a connection has come, and nothing of it is read yet. */
extern void kgw_http_socket_sniff(KgwHttpRequest *transfer, int fd);

#endif							/* KGW_SEND_HTTP_SOCKET_H */
