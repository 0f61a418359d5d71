/*-------------------------------------------------------------------------
 *
 * signing_key.c
 *	  Keys for signatures that need no shared secret: Ed25519.
 *
 * Verifying takes only the public key, which anyone may have.  Nobody except us can have
 * signed, and there is nothing at the receiver that could be stolen and signed with.
 *
 * The texts are those of Standard Webhooks: "whpk_" and the base64 of the public key;
 * "whsk_" and the base64 of seed and public key, as its libraries have it.  A key names
 * itself by its thumbprint, so that the name needs no book-keeping: the same key has the same
 * name wherever it is restored.
 *
 * Ed25519 hashes a message twice, so it has to be there in one piece.
 *
 * src/pure/ed25519/signing_key.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/ed25519/signing_key.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PUBLIC_BYTES 32
#define PRIVATE_BYTES (KGW_SIGNING_KEY_SEED + PUBLIC_BYTES)
#define PRIVATE_PREFIX "whsk_"
#define PUBLIC_PREFIX "whpk_"
#define PREFIX_BYTES 5

struct KgwSigningKey
{
	EVP_PKEY   *key;
	char		id[KGW_SIGNING_KEY_ID_SIZE];
};

/* The base64 of bytes behind a prefix, with its NUL. */
static void
format_key(const char *prefix, const unsigned char *bytes, int len, char *out)
{
	memcpy(out, prefix, PREFIX_BYTES);
	EVP_EncodeBlock((unsigned char *) out + PREFIX_BYTES, bytes, len);
}

/*
 * The bytes behind such a text, which are exactly so many; false when they aren't, or when
 * the text isn't how we write them: OpenSSL reads more than that.  out has room for two bytes
 * more, which stand where the padding is.
 */
static bool
parse_key(const char *prefix, const char *text, size_t len, unsigned char *out, int want)
{
	int			padding = (3 - want % 3) % 3;
	char		again[KGW_SIGNING_KEY_PRIVATE_SIZE];
	bool		same;

	if (len != PREFIX_BYTES + (size_t) (want + 2) / 3 * 4 ||
		EVP_DecodeBlock(out, (const unsigned char *) text + PREFIX_BYTES,
						(int) len - PREFIX_BYTES) != want + padding)
		return false;
	format_key(prefix, out, want, again);
	same = CRYPTO_memcmp(again, text, len) == 0;
	OPENSSL_cleanse(again, sizeof(again));
	return same;
}

/* The base64url of 32 bytes, without padding. */
static void
format_url(const unsigned char bytes[PUBLIC_BYTES], char out[KGW_SIGNING_KEY_ID_SIZE])
{
	unsigned char base64[KGW_SIGNING_KEY_ID_SIZE + 1];

	EVP_EncodeBlock(base64, bytes, PUBLIC_BYTES);
	for (int i = 0; i < KGW_SIGNING_KEY_ID_SIZE - 1; i++)
		out[i] = base64[i] == '+' ? '-' : base64[i] == '/' ? '_' : (char) base64[i];
	out[KGW_SIGNING_KEY_ID_SIZE - 1] = '\0';
}

/*
 * The thumbprint of a public key: of a JSON Web Key (RFC 8037) with its members in order.
 * False when OpenSSL fails.
 */
static bool
describe_key(const unsigned char public_key[PUBLIC_BYTES], char id[KGW_SIGNING_KEY_ID_SIZE])
{
	char		x[KGW_SIGNING_KEY_ID_SIZE];
	unsigned char hash[EVP_MAX_MD_SIZE];
	char		canonical[128];
	unsigned	size;
	int			len;

	format_url(public_key, x);
	len = snprintf(canonical, sizeof(canonical), "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"}", x);
	if (!EVP_Digest(canonical, len, hash, &size, EVP_sha256(), NULL) || size != PUBLIC_BYTES)
		return false;
	format_url(hash, id);
	return true;
}

/* The key of a seed, and its public half; NULL when OpenSSL fails. */
static EVP_PKEY *
private_key_of(const unsigned char seed[KGW_SIGNING_KEY_SEED], unsigned char public_key[PUBLIC_BYTES])
{
	EVP_PKEY   *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, KGW_SIGNING_KEY_SEED);
	size_t		len = PUBLIC_BYTES;

	if (key != NULL && EVP_PKEY_get_raw_public_key(key, public_key, &len) && len == PUBLIC_BYTES)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

bool
kgw_signing_key_make(const unsigned char seed[KGW_SIGNING_KEY_SEED],
					 char private_text[KGW_SIGNING_KEY_PRIVATE_SIZE],
					 char public_text[KGW_SIGNING_KEY_PUBLIC_SIZE])
{
	unsigned char both[PRIVATE_BYTES];
	EVP_PKEY   *key = private_key_of(seed, both + KGW_SIGNING_KEY_SEED);

	if (key == NULL)
		return false;
	EVP_PKEY_free(key);
	memcpy(both, seed, KGW_SIGNING_KEY_SEED);
	format_key(PRIVATE_PREFIX, both, PRIVATE_BYTES, private_text);
	format_key(PUBLIC_PREFIX, both + KGW_SIGNING_KEY_SEED, PUBLIC_BYTES, public_text);
	OPENSSL_cleanse(both, sizeof(both));
	return true;
}

/* A key whose private text says these bytes, its public half among them. */
static KgwSigningKey *
new_key(const unsigned char both[PRIVATE_BYTES])
{
	KgwSigningKey *key = calloc(1, sizeof(KgwSigningKey));
	unsigned char public_key[PUBLIC_BYTES];
	int			fault = 0;

	/* of any bytes there is a key; so if there is none, there was no memory */
	if (key == NULL || (key->key = private_key_of(both, public_key)) == NULL ||
		!describe_key(public_key, key->id))
		fault = ENOMEM;
	else if (memcmp(public_key, both + KGW_SIGNING_KEY_SEED, PUBLIC_BYTES) != 0)
		fault = EINVAL;
	if (fault == 0)
		return key;
	kgw_signing_key_free(key);
	errno = fault;
	return NULL;
}

KgwSigningKey *
kgw_signing_key_new(const char *private_text, size_t len)
{
	unsigned char both[PRIVATE_BYTES + 2];
	KgwSigningKey *key = NULL;

	errno = EINVAL;
	if (parse_key(PRIVATE_PREFIX, private_text, len, both, PRIVATE_BYTES))
		key = new_key(both);
	OPENSSL_cleanse(both, sizeof(both));
	return key;
}

void
kgw_signing_key_free(KgwSigningKey *key)
{
	if (key == NULL)
		return;
	EVP_PKEY_free(key->key);
	free(key);
}

const char *
kgw_signing_key_id(const KgwSigningKey *key)
{
	return key->id;
}

bool
kgw_signing_key_describe(const char *public_text, size_t len, char id[KGW_SIGNING_KEY_ID_SIZE])
{
	unsigned char public_key[PUBLIC_BYTES + 2];

	return parse_key(PUBLIC_PREFIX, public_text, len, public_key, PUBLIC_BYTES) &&
		describe_key(public_key, id);
}

bool
kgw_signing_key_sign(KgwSigningKey *key, const void *message, size_t len,
					 unsigned char signature[KGW_SIGNING_KEY_SIGNATURE])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t		size = KGW_SIGNING_KEY_SIGNATURE;
	bool		done;

	done = ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key->key) &&
		EVP_DigestSign(ctx, signature, &size, message, len) && size == KGW_SIGNING_KEY_SIGNATURE;
	EVP_MD_CTX_free(ctx);
	return done;
}

bool
kgw_signing_key_header(KgwSigningKey *key, const char *webhook_id, int64_t timestamp,
					   const char *body, size_t len, char out[KGW_SIGNING_KEY_HEADER_SIZE])
{
	unsigned char signature[KGW_SIGNING_KEY_SIGNATURE];
	size_t		room = strlen(webhook_id) + 32;
	char	   *message = malloc(room + len);
	int			front;
	bool		done;

	if (message == NULL)
		return false;
	front = snprintf(message, room, "%s.%" PRId64 ".", webhook_id, timestamp);
	memcpy(message + front, body, len);
	done = kgw_signing_key_sign(key, message, front + len, signature);
	free(message);
	if (!done)
		return false;
	memcpy(out, "v1a,", 4);
	EVP_EncodeBlock((unsigned char *) out + 4, signature, sizeof(signature));
	return true;
}
