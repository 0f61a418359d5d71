/*-------------------------------------------------------------------------
 *
 * endpoint_headers.h
 *	  The headers that endpoints want besides ours.
 *
 * src/secrets/endpoint_headers.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SECRETS_ENDPOINT_HEADERS_H
#define KGW_SECRETS_ENDPOINT_HEADERS_H

#include "pure/keyring.h"

extern void kgw_endpoint_headers_load(Datum org_id, Datum subscription_id, bool guarded, KgwKeyring *keyring);

#endif							/* KGW_SECRETS_ENDPOINT_HEADERS_H */
