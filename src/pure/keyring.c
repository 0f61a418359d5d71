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

#include <openssl/crypto.h>
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

KgwCertificate *
kgw_keyring_certificate_new(int64_t subscription_id, const char *certificate,
							size_t certificate_len, const char *key, size_t key_len)
{
	KgwCertificate *made = calloc(1, sizeof(KgwCertificate));

	if (made == NULL)
		return NULL;
	made->holders = 1;
	made->subscription_id = subscription_id;
	made->certificate = strndup(certificate, certificate_len);
	made->key = strndup(key, key_len);
	made->certificate_len = made->certificate != NULL ? strlen(made->certificate) : 0;
	made->key_len = made->key != NULL ? strlen(made->key) : 0;
	if (made->certificate != NULL && made->key != NULL)
		return made;
	kgw_keyring_certificate_release(made);
	return NULL;
}

bool
kgw_keyring_certificate_add(KgwKeyring *keyring, KgwCertificate *certificate)
{
	KgwCertificate **grown = certificate == NULL ? NULL :
		realloc(keyring->certificates, (keyring->certificate_count + 1) * sizeof(KgwCertificate *));

	if (grown == NULL)
	{
		kgw_keyring_certificate_release(certificate);
		return false;
	}
	keyring->certificates = grown;
	keyring->certificates[keyring->certificate_count++] = certificate;
	return true;
}

KgwCertificate *
kgw_keyring_certificate_hold(const KgwKeyring *keyring, int64_t subscription_id)
{
	for (int i = 0; i < keyring->certificate_count; i++)
	{
		if (keyring->certificates[i]->subscription_id == subscription_id)
			return kgw_keyring_certificate_share(keyring->certificates[i]);
	}
	return NULL;
}

KgwCertificate *
kgw_keyring_certificate_share(KgwCertificate *certificate)
{
	if (certificate != NULL)
		certificate->holders++;
	return certificate;
}

void
kgw_keyring_certificate_release(KgwCertificate *certificate)
{
	if (certificate == NULL || --certificate->holders > 0)
		return;
	if (certificate->key != NULL)
		OPENSSL_cleanse(certificate->key, certificate->key_len);
	free(certificate->key);
	free(certificate->certificate);
	free(certificate);
}

bool
kgw_keyring_headers_add(KgwKeyring *keyring, KgwHeaders *headers)
{
	KgwHeaders **grown = headers == NULL ? NULL :
		realloc(keyring->headers, (keyring->headers_count + 1) * sizeof(KgwHeaders *));

	if (grown == NULL)
	{
		kgw_request_headers_release(headers);
		return false;
	}
	keyring->headers = grown;
	keyring->headers[keyring->headers_count++] = headers;
	return true;
}

KgwHeaders *
kgw_keyring_headers_hold(const KgwKeyring *keyring, int64_t subscription_id, const char *destination)
{
	for (int i = 0; i < keyring->headers_count; i++)
	{
		if (keyring->headers[i]->subscription_id == subscription_id)
			return strcmp(keyring->headers[i]->destination, destination) != 0 ? NULL :
				kgw_request_headers_share(keyring->headers[i]);
	}
	return NULL;
}

const char *
kgw_keyring_fault(const KgwKeyring *keyring, int64_t subscription_id)
{
	for (int i = 0; keyring->fault == NULL && i < keyring->endpoint_fault_count; i++)
	{
		if (keyring->endpoint_faults[i].subscription_id == subscription_id)
			return keyring->endpoint_faults[i].fault;
	}
	return keyring->fault;
}

bool
kgw_keyring_fault_add(KgwKeyring *keyring, int64_t subscription_id, const char *fault)
{
	KgwEndpointFault *grown = realloc(keyring->endpoint_faults,
									  (keyring->endpoint_fault_count + 1) * sizeof(KgwEndpointFault));

	if (grown == NULL)
		return false;
	keyring->endpoint_faults = grown;
	grown[keyring->endpoint_fault_count++] = (KgwEndpointFault) {subscription_id, fault};
	return true;
}

void
kgw_keyring_clear(KgwKeyring *keyring)
{
	kgw_signature_signer_free(keyring->current);
	kgw_signature_signer_free(keyring->next);
	kgw_signing_key_free(keyring->key);
	kgw_signing_key_free(keyring->next_key);
	free(keyring->http_signed);
	for (int i = 0; i < keyring->certificate_count; i++)
		kgw_keyring_certificate_release(keyring->certificates[i]);
	free(keyring->certificates);
	for (int i = 0; i < keyring->headers_count; i++)
		kgw_request_headers_release(keyring->headers[i]);
	free(keyring->headers);
	free(keyring->endpoint_faults);
	memset(keyring, 0, sizeof(*keyring));
}
