/*-------------------------------------------------------------------------
 *
 * url.h
 *	  Judging a callback URL by its text.
 *
 * src/pure/url.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_URL_H
#define KGW_PURE_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "pure/ports.h"

/* Longest URL accepted, bytes. */
#define KGW_URL_MAX 2048

/* Room for "https://" + host of 253 bytes + ":65535" + NUL, and to spare. */
#define KGW_DESTINATION_SIZE 280

typedef struct KgwUrl
{
	bool		https;
	int			port;			/* 1 to 65535, the scheme's when not given */
	char		host[256];		/* lower case, without brackets */
	bool		ipv6;			/* host is an IPv6 address, in canonical form */
	char		destination[KGW_DESTINATION_SIZE];	/* scheme://host:port */
} KgwUrl;

extern const char *kgw_url_parse(const char *url, size_t len, KgwUrl *out);
extern const char *kgw_url_judge(const KgwUrl *url, bool allow_http,
								 const KgwPorts *ports);

extern bool kgw_url_covers(const char *above, size_t above_len, const char *url, size_t len);

extern void kgw_url_target(const char *url, char *out);

#endif							/* KGW_PURE_URL_H */
