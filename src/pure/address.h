/*-------------------------------------------------------------------------
 *
 * src/pure/address.h
 *	  Judging the address a callback would really connect to.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_ADDRESS_H
#define KGW_ADDRESS_H

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

extern bool kgw_networks_parse(const char *text, KgwNetworks *out,
							   char *problem, size_t problem_size);

extern const char *kgw_address_judge(const struct sockaddr *sa, size_t salen,
									 const KgwNetworks *allowed,
									 const KgwNetworks *own);
extern bool kgw_address_parse(const char *ip, struct sockaddr_storage *ss,
							  size_t *salen);

#endif							/* KGW_ADDRESS_H */
