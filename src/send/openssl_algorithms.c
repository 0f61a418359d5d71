/*-------------------------------------------------------------------------
 *
 * openssl_algorithms.c
 *	  All that OpenSSL can do, loaded while there is memory for it.
 *
 * From 3.0 on, OpenSSL loads algorithms when the first of their kind is asked for, and
 * never again: one for which it had no memory at that moment it takes, for as long as
 * the process lives, for one that it does not have.  A worker that was out of memory
 * once would then find no receiver's TLS, and no client certificate, usable any more,
 * and its deliveries would become dead letters.  So it has all of them loaded before
 * it sends anything, which takes some milliseconds.
 *
 * src/send/openssl_algorithms.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/opensslv.h>

#if OPENSSL_VERSION_NUMBER >= 0x30000000L
#include <openssl/decoder.h>
#include <openssl/encoder.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/store.h>
#endif

#include "send/openssl_algorithms.h"

#if OPENSSL_VERSION_NUMBER >= 0x30000000L

/* Going through the algorithms of a kind is what loads them; nothing is done with any. */
#define LOAD(kind) kind##_do_all_provided(NULL, pass_##kind, NULL)
#define KIND(kind) \
	static void \
	pass_##kind(kind *algorithm, void *arg) \
	{ \
	}

KIND(EVP_MD)
KIND(EVP_CIPHER)
KIND(EVP_MAC)
KIND(EVP_KDF)
KIND(EVP_RAND)
KIND(EVP_KEYMGMT)
KIND(EVP_KEYEXCH)
KIND(EVP_SIGNATURE)
KIND(EVP_ASYM_CIPHER)
KIND(EVP_KEM)
KIND(OSSL_ENCODER)
KIND(OSSL_DECODER)
KIND(OSSL_STORE_LOADER)

#endif

/* Once a process that is to live long. */
void
kgw_openssl_algorithms_load(void)
{
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
	LOAD(EVP_MD);
	LOAD(EVP_CIPHER);
	LOAD(EVP_MAC);
	LOAD(EVP_KDF);
	LOAD(EVP_RAND);
	LOAD(EVP_KEYMGMT);
	LOAD(EVP_KEYEXCH);
	LOAD(EVP_SIGNATURE);
	LOAD(EVP_ASYM_CIPHER);
	LOAD(EVP_KEM);
	LOAD(OSSL_ENCODER);
	LOAD(OSSL_DECODER);
	LOAD(OSSL_STORE_LOADER);
#endif
}
