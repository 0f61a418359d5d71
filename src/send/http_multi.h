/*-------------------------------------------------------------------------
 *
 * http_multi.h
 *	  One of libcurl's multi handles: its sockets, its timer, its transfers.
 *
 * src/send/http_multi.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SEND_HTTP_MULTI_H
#define KGW_SEND_HTTP_MULTI_H

#include <sys/epoll.h>

#include "send/http_request_state.h"

typedef struct KgwMulti
{
	CURLM	   *curl;
	int			epoll;			/* the client's, shared by all */
	KgwTicks	deadline;		/* when libcurl wants to be called; or NEVER */
	int			in_flight;		/* transfers */
	int			idle;			/* connections that may be kept beside theirs */
	int			stranded;		/* transfers that libcurl waits for nothing for */
	KgwTicks	nudged_at;
	bool		broken;			/* libcurl has given the handle up */
	bool		called;			/* since its finished transfers were last taken */
	dlist_node	node;			/* in the client's list of all */
	dlist_node	called_node;	/* in its list of those that were called */
	dlist_head *called_list;
} KgwMulti;

extern KgwMulti *kgw_http_multi_new(int epoll, dlist_head *called_list);
extern void kgw_http_multi_free(KgwMulti *multi);
extern void kgw_http_multi_keep(KgwMulti *multi, int idle);
extern bool kgw_http_multi_add(KgwMulti *multi, KgwHttpRequest *transfer);
extern void kgw_http_multi_remove(KgwMulti *multi, KgwHttpRequest *transfer);
extern KgwTicks kgw_http_multi_deadline(const KgwMulti *multi);
extern void kgw_http_multi_tick(KgwMulti *multi, KgwTicks now);
extern void kgw_http_multi_act(int epoll, const struct epoll_event *event);
extern KgwHttpRequest *kgw_http_multi_finished(KgwMulti *multi, CURLcode *code);
extern int	kgw_http_multi_on_close(void *arg, curl_socket_t fd);

#endif							/* KGW_SEND_HTTP_MULTI_H */
