/*-------------------------------------------------------------------------
 *
 * ip_filter.h
 *	  Judging the address a callback would really connect to.
 *
 * src/pure/ip_filter.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_IP_FILTER_H
#define KGW_PURE_IP_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define KGW_NETWORKS_MAX 256

/* The addresses whose first "bits" bits are those of "bytes". */
typedef struct KgwNetwork
{
	int			family;			/* AF_INET or AF_INET6 */
	unsigned char bytes[16];	/* network byte order; IPv4 has the first 4 */
	int			bits;			/* 0 to 32, or 0 to 128 */
} KgwNetwork;

typedef struct KgwNetworks
{
	int			n;
	KgwNetwork	net[KGW_NETWORKS_MAX];
} KgwNetworks;

extern bool kgw_ip_filter_parse_networks(const char *text, KgwNetworks *out,
							   char *problem, size_t problem_size);

extern const char *kgw_ip_filter_judge(const struct sockaddr *sa, size_t salen,
									 const KgwNetworks *allowed,
									 const KgwNetworks *own);
extern bool kgw_ip_filter_parse_address(const char *ip, struct sockaddr_storage *ss,
							  size_t *salen);

#endif							/* KGW_PURE_IP_FILTER_H */
