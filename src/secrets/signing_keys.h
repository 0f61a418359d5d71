/*-------------------------------------------------------------------------
 *
 * signing_keys.h
 *	  The signing keys of an organization: from their table into its keyring.
 *
 * src/secrets/signing_keys.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SECRETS_SIGNING_KEYS_H
#define KGW_SECRETS_SIGNING_KEYS_H

#include "pure/keyring.h"

extern bool kgw_signing_keys_load(Datum org_id, KgwKeyring *keyring);

#endif							/* KGW_SECRETS_SIGNING_KEYS_H */
