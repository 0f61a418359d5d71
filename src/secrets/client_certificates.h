/*-------------------------------------------------------------------------
 *
 * client_certificates.h
 *	  The client certificates of an organization's endpoints: from their table into its keyring.
 *
 * src/secrets/client_certificates.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SECRETS_CLIENT_CERTIFICATES_H
#define KGW_SECRETS_CLIENT_CERTIFICATES_H

#include "pure/keyring.h"

extern void kgw_client_certificates_load(Datum org_id, Datum subscription_id, bool guarded, KgwKeyring *keyring);

#endif							/* KGW_SECRETS_CLIENT_CERTIFICATES_H */
