/*-------------------------------------------------------------------------
 *
 * client_certificate.h
 *	  Client certificates, by endpoint, and their private keys.
 *
 * src/secrets/client_certificate.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SECRETS_CLIENT_CERTIFICATE_H
#define KGW_SECRETS_CLIENT_CERTIFICATE_H

#include "pure/keyring.h"

extern void kgw_client_certificate_load(Datum org_id, KgwKeyring *keyring);

#endif							/* KGW_SECRETS_CLIENT_CERTIFICATE_H */
