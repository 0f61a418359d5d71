/*-------------------------------------------------------------------------
 *
 * signing_key.h
 *	  Keys for signatures that need no shared secret: Ed25519.
 *
 * src/pure/ed25519/signing_key.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_ED25519_SIGNING_KEY_H
#define KGW_PURE_ED25519_SIGNING_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Random bytes that a key is made of, and bytes of a signature. */
#define KGW_SIGNING_KEY_SEED 32
#define KGW_SIGNING_KEY_SIGNATURE 64

/* "whsk_" and the base64 of seed and public key, with its NUL. */
#define KGW_SIGNING_KEY_PRIVATE_SIZE 94
/* "whpk_" and the base64 of the public key, with its NUL. */
#define KGW_SIGNING_KEY_PUBLIC_SIZE 50
/* The base64url of a SHA-256, with its NUL. */
#define KGW_SIGNING_KEY_ID_SIZE 44
/* "v1a," and the base64 of a signature, with its NUL. */
#define KGW_SIGNING_KEY_HEADER_SIZE 93

typedef struct KgwSigningKey KgwSigningKey;

/*
 * The texts of the key that these random bytes make.  False when OpenSSL fails; the
 * caller has to wipe the private one.
 */
extern bool kgw_signing_key_make(const unsigned char seed[KGW_SIGNING_KEY_SEED],
								 char private_text[KGW_SIGNING_KEY_PRIVATE_SIZE],
								 char public_text[KGW_SIGNING_KEY_PUBLIC_SIZE]);

/*
 * A key by its private text, ready for use.  NULL, and in errno why: EINVAL when it is no such
 * text, ENOMEM when there is no memory.  The text is not kept.
 */
extern KgwSigningKey *kgw_signing_key_new(const char *private_text, size_t len);

/* Frees the key and wipes it; NULL is allowed. */
extern void kgw_signing_key_free(KgwSigningKey *key);

/* What names the key: its thumbprint (RFC 7638), good as long as the key. */
extern const char *kgw_signing_key_id(const KgwSigningKey *key);

/* The same by its public text.  False when it is no such text. */
extern bool kgw_signing_key_describe(const char *public_text, size_t len,
									 char id[KGW_SIGNING_KEY_ID_SIZE]);

/* The signature of a message.  False when OpenSSL fails. */
extern bool kgw_signing_key_sign(KgwSigningKey *key, const void *message, size_t len,
								 unsigned char signature[KGW_SIGNING_KEY_SIGNATURE]);

/*
 * Signature for the header webhook-signature: "v1a," and the base64 of that of
 * "{webhook_id}.{timestamp}.{body}".  webhook_id is NUL-terminated, timestamp in Unix seconds.
 * False when OpenSSL fails or there is no memory.
 */
extern bool kgw_signing_key_header(KgwSigningKey *key, const char *webhook_id, int64_t timestamp,
								   const char *body, size_t len,
								   char out[KGW_SIGNING_KEY_HEADER_SIZE]);

#endif							/* KGW_PURE_ED25519_SIGNING_KEY_H */
