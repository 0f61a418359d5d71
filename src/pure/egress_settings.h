/*-------------------------------------------------------------------------
 *
 * egress_settings.h
 *	  The settings that say how requests leave: source address and proxy.
 *
 * src/pure/egress_settings.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_EGRESS_SETTINGS_H
#define KGW_PURE_EGRESS_SETTINGS_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#include "pure/url.h"

/* What connections are bound to: an interface, or one address of a family. */
typedef struct KgwSource
{
	char		interface[IF_NAMESIZE]; /* "" = by address */
	bool		has_ipv4;
	bool		has_ipv6;
	struct in_addr ipv4;
	struct in6_addr ipv6;
} KgwSource;

/* The proxy that all connections go through. */
typedef struct KgwProxy
{
	bool		https;			/* the way to the proxy itself is TLS */
	char		url[KGW_DESTINATION_SIZE];	/* scheme://host:port; "" = there is none */
} KgwProxy;

extern bool kgw_egress_settings_parse_source(const char *text, KgwSource *out,
									char *problem, size_t problem_size);
extern bool kgw_egress_settings_parse_proxy(const char *text, KgwProxy *out,
								   char *problem, size_t problem_size);
extern bool kgw_egress_settings_has_credentials(const char *proxy);
extern bool kgw_egress_settings_literal_address(const char *host, struct sockaddr_storage *address,
									   size_t *len);
extern bool kgw_egress_settings_is_localhost(const char *host);

#endif							/* KGW_PURE_EGRESS_SETTINGS_H */
