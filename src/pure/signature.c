/*-------------------------------------------------------------------------
 *
 * signature.c
 *	  The two signatures of a request: in the body and in the header.
 *
 * Setting up an HMAC costs more than computing a short one, and every
 * delivery needs two.  So each secret gets a signer that keeps one OpenSSL
 * context per key: 0.56 us a signature, against 2 us for the one-shot HMAC().
 *
 * The keys live in those contexts and nowhere else.  OpenSSL wipes a context
 * when it is freed, and what was decoded on the way is wiped here; nothing
 * in this file may copy a key, a secret or a part of one to anywhere else.
 *
 * OpenSSL 3.0.0 to 3.0.2 do not reset a context that is to be used again
 * with its key, and say that they did (openssl issue 17811).  A wrong
 * signature that nobody notices is the worst this file could do, so a new
 * signer signs the same thing twice and is not handed out if that differs.
 *
 * src/pure/signature.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/signature.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAC_BYTES 32
#define PREFIX "whsec_"
#define PREFIX_BYTES (sizeof(PREFIX) - 1)

struct KgwSigner
{
	EVP_MAC_CTX *body;			/* keyed by the secret as issued */
	EVP_MAC_CTX *header;		/* keyed as Standard Webhooks has it */
	char		middle[32];		/* what stands between id and body, for that second */
	int			middle_len;		/* 0: it was not made yet */
	int64_t		middle_of;
};

/* Value of a character of base64's standard alphabet, or -1. */
static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/*
 * Decodes base64 as @stablelib/base64 (1.0.1) does, faults included, because
 * that is what receivers run.  key has room for len bytes; returns how many
 * there are, or -1 when that library throws.
 *
 * JavaScript counts characters where we count bytes.  That matters only for
 * the character that is never looked at: it may be any of the basic plane.
 */
static long
decode_key(unsigned char *key, const char *text, size_t len)
{
	size_t		padding = 0;
	unsigned	bits = 0;
	long		n = 0;
	size_t		i;

	while (padding < len && text[len - 1 - padding] == '=')
		padding++;
	len -= padding;
	while (len > 0 && ((unsigned char) text[len - 1] & 0xc0) == 0x80)
		len--;
	if (padding > 2 || len + padding < 4)
		return -1;
	if (len % 4 == 1 && (unsigned char) text[len - 1] < 0xf0)
		len--;

	for (i = 0; i < len; i++)
	{
		int			value = base64_value(text[i]);

		if (value < 0)
			return -1;
		bits = bits << 6 | value;
		if (i % 4 != 0)
			key[n++] = bits >> (6 - 2 * (i % 4)) & 0xff;
	}
	return n;
}

/* A context that holds the key; NULL on failure. */
static EVP_MAC_CTX *
new_context(EVP_MAC *mac, const unsigned char *key, size_t len)
{
	char		digest[] = "SHA256";
	OSSL_PARAM	params[2];
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);

	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
												 digest, 0);
	params[1] = OSSL_PARAM_construct_end();
	if (ctx != NULL && !EVP_MAC_init(ctx, key, len, params))
	{
		EVP_MAC_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

/* Ends a signature. */
static bool
finish_mac(EVP_MAC_CTX *ctx, unsigned char mac[MAC_BYTES])
{
	size_t		size;

	return EVP_MAC_final(ctx, mac, &size, MAC_BYTES) && size == MAC_BYTES;
}

/* Does the context start over when it is told to? */
static bool
restarts(EVP_MAC_CTX *ctx)
{
	unsigned char first[MAC_BYTES];
	unsigned char second[MAC_BYTES];

	return finish_mac(ctx, first) && EVP_MAC_init(ctx, NULL, 0, NULL) &&
		finish_mac(ctx, second) && memcmp(first, second, MAC_BYTES) == 0;
}

/* Makes both contexts; key is scratch room as long as the secret. */
static bool
set_keys(KgwSigner *signer, unsigned char *key, const char *secret, size_t len)
{
	EVP_MAC    *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	size_t		skip = 0;
	long		key_len;

	if (mac == NULL)
		return false;
	if (len >= PREFIX_BYTES && memcmp(secret, PREFIX, PREFIX_BYTES) == 0)
		skip = PREFIX_BYTES;
	key_len = decode_key(key, secret + skip, len - skip);
	if (key_len < 0)
	{
		memcpy(key, secret, len);
		key_len = len;
	}
	signer->body = new_context(mac, (const unsigned char *) secret, len);
	signer->header = new_context(mac, key, key_len);
	EVP_MAC_free(mac);
	return signer->body != NULL && signer->header != NULL &&
		restarts(signer->body) && restarts(signer->header);
}

KgwSigner *
kgw_signature_signer_new(const char *secret, size_t len)
{
	KgwSigner  *signer = calloc(1, sizeof(KgwSigner));
	unsigned char *key = malloc(len + 1);

	if (signer == NULL || key == NULL ||
		!set_keys(signer, key, len > 0 ? secret : "", len))
	{
		kgw_signature_signer_free(signer);
		signer = NULL;
	}
	if (key != NULL)
	{
		OPENSSL_cleanse(key, len + 1);
		free(key);
	}
	return signer;
}

void
kgw_signature_signer_free(KgwSigner *signer)
{
	if (signer == NULL)
		return;
	EVP_MAC_CTX_free(signer->body);
	EVP_MAC_CTX_free(signer->header);
	OPENSSL_cleanse(signer, sizeof(KgwSigner));
	free(signer);
}

bool
kgw_signature_signer_body(KgwSigner *signer, const char *c, size_t len,
				char hex[KGW_SIGNATURE_HEX_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	EVP_MAC_CTX *ctx = signer->body;
	unsigned char mac[MAC_BYTES];
	int			i;

	if (!EVP_MAC_init(ctx, NULL, 0, NULL) ||
		!EVP_MAC_update(ctx, (const unsigned char *) c, len) ||
		!finish_mac(ctx, mac))
		return false;
	for (i = 0; i < MAC_BYTES; i++)
	{
		hex[2 * i] = digits[mac[i] >> 4];
		hex[2 * i + 1] = digits[mac[i] & 15];
	}
	hex[2 * MAC_BYTES] = '\0';
	return true;
}

bool
kgw_signature_signer_header(KgwSigner *signer, const char *webhook_id,
				  int64_t timestamp, const char *body, size_t len,
				  char out[KGW_SIGNATURE_HEADER_SIZE])
{
	EVP_MAC_CTX *ctx = signer->header;
	unsigned char mac[MAC_BYTES];

	if (signer->middle_len == 0 || signer->middle_of != timestamp)
		signer->middle_len = snprintf(signer->middle, sizeof(signer->middle), ".%" PRId64 ".",
									  timestamp);
	signer->middle_of = timestamp;
	if (!EVP_MAC_init(ctx, NULL, 0, NULL) ||
		!EVP_MAC_update(ctx, (const unsigned char *) webhook_id,
						strlen(webhook_id)) ||
		!EVP_MAC_update(ctx, (const unsigned char *) signer->middle,
						signer->middle_len) ||
		!EVP_MAC_update(ctx, (const unsigned char *) body, len) ||
		!finish_mac(ctx, mac))
		return false;
	memcpy(out, "v1,", 3);
	EVP_EncodeBlock((unsigned char *) out + 3, mac, MAC_BYTES);
	return true;
}

bool
kgw_signature_equal(const char *a, const char *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

void
kgw_signature_format_secret(const unsigned char random[KGW_SECRET_BYTES],
				  char out[KGW_SECRET_SIZE])
{
	memcpy(out, PREFIX, PREFIX_BYTES);
	EVP_EncodeBlock((unsigned char *) out + PREFIX_BYTES, random,
					KGW_SECRET_BYTES);
}
