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

#include <string.h>

bool
kgw_keyring_retired(const KgwKeyring *keyring, int64_t now)
{
	return keyring->next != NULL && now >= keyring->activates_at && now >= keyring->retires_at;
}

int
kgw_keyring_signers(const KgwKeyring *keyring, int64_t now, KgwSigner *signers[KGW_KEYRING_MAX])
{
	if (keyring->current == NULL)
		return 0;
	if (keyring->next == NULL)
	{
		signers[0] = keyring->current;
		return 1;
	}
	if (kgw_keyring_retired(keyring, now))
	{
		signers[0] = keyring->next;
		return 1;
	}
	signers[0] = now < keyring->activates_at ? keyring->current : keyring->next;
	signers[1] = now < keyring->activates_at ? keyring->next : keyring->current;
	return 2;
}

void
kgw_keyring_clear(KgwKeyring *keyring)
{
	kgw_signature_signer_free(keyring->current);
	kgw_signature_signer_free(keyring->next);
	memset(keyring, 0, sizeof(*keyring));
}
