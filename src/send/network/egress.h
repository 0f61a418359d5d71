/*-------------------------------------------------------------------------
 *
 * egress.h
 *	  How requests leave: from which address, and through which proxy.
 *
 * src/send/network/egress.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SEND_NETWORK_EGRESS_H
#define KGW_SEND_NETWORK_EGRESS_H

#include <curl/curl.h>

extern void kgw_egress_look(void);
extern void kgw_egress_forget(void);
extern uint32 kgw_egress_revision(void);
extern bool kgw_egress_proxied(void);
extern const char *kgw_egress_bind(int fd, int family);
extern const char *kgw_egress_no_source(void);
extern const char *kgw_egress_try(void);
extern const char *kgw_egress_fault(void);
extern const char *kgw_egress_judge(const char *text);
extern bool kgw_egress_set_proxy(CURL *easy);

#endif							/* KGW_SEND_NETWORK_EGRESS_H */
