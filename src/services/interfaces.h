/*-------------------------------------------------------------------------
 *
 * src/services/interfaces.h
 *	  The addresses of this host's own network interfaces.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_INTERFACES_H
#define KGW_INTERFACES_H

#include "pure/address.h"

extern bool kgw_networks_own(KgwNetworks *out);

#endif							/* KGW_INTERFACES_H */
