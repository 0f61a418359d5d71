/*-------------------------------------------------------------------------
 *
 * keyring.c
 *	  What signs for an organization at a given second.
 *
 * A rotation must need nobody to wake up at its turning points, and none of its
 * seconds may belong to no phase or to two.  So there is no state here that
 * could be late: each attempt asks with its own stamp.
 *
 * The signature of the secret that signs the body comes first in the header:
 * a receiver that looks at one signature only goes by the same secret either
 * way.
 *
 * src/pure/keyring.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/keyring.h"

#include <stdlib.h>
#include <string.h>

bool
kgw_keyring_retired(const KgwKeyring *keyring, int64_t now)
{
	return keyring->next != NULL && now >= keyring->activates_at && now >= keyring->retires_at;
}

bool
kgw_keyring_key_retired(const KgwKeyring *keyring, int64_t now)
{
	return keyring->next_key != NULL && now >= keyring->key_activates_at &&
		now >= keyring->key_retires_at;
}

int
kgw_keyring_signers(const KgwKeyring *keyring, int64_t now, KgwSigner *signers[KGW_KEYRING_MAX])
{
	bool		active = keyring->next != NULL && now >= keyring->activates_at;

	if (keyring->current == NULL)
		return 0;
	signers[0] = active ? keyring->next : keyring->current;
	signers[1] = active ? keyring->current : keyring->next;
	return signers[1] == NULL || kgw_keyring_retired(keyring, now) ? 1 : 2;
}

int
kgw_keyring_keys(const KgwKeyring *keyring, int64_t now, KgwSigningKey *keys[KGW_KEYRING_MAX])
{
	bool		active = keyring->next_key != NULL && now >= keyring->key_activates_at;

	if (keyring->key == NULL)
		return 0;
	keys[0] = active ? keyring->next_key : keyring->key;
	keys[1] = active ? keyring->key : keyring->next_key;
	return keys[1] == NULL || kgw_keyring_key_retired(keyring, now) ? 1 : 2;
}

bool
kgw_keyring_signs_http(const KgwKeyring *keyring, int64_t subscription_id)
{
	for (int i = 0; i < keyring->http_signed_count; i++)
	{
		if (keyring->http_signed[i] == subscription_id)
			return true;
	}
	return false;
}

void
kgw_keyring_clear(KgwKeyring *keyring)
{
	kgw_signature_signer_free(keyring->current);
	kgw_signature_signer_free(keyring->next);
	kgw_signing_key_free(keyring->key);
	kgw_signing_key_free(keyring->next_key);
	free(keyring->http_signed);
	memset(keyring, 0, sizeof(*keyring));
}
