/*-------------------------------------------------------------------------
 *
 * local_addresses.h
 *	  The addresses of this host's own network interfaces.
 *
 * src/send/network/local_addresses.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SEND_NETWORK_LOCAL_ADDRESSES_H
#define KGW_SEND_NETWORK_LOCAL_ADDRESSES_H

#include "pure/ip_filter.h"

extern const char *kgw_local_addresses_judge(const struct sockaddr *address, size_t len);

#endif							/* KGW_SEND_NETWORK_LOCAL_ADDRESSES_H */
