/*-------------------------------------------------------------------------
 *
 * signature.h
 *	  The two signatures of a request: in the body and in the header.
 *
 * Two keys come out of one secret.
 *
 * The body is signed with the secret's bytes exactly as issued, "whsec_" and
 * all, as the product's receivers do.
 *
 * The header is signed as the Standard Webhooks specification has it, with
 * the key that the official npm library (standardwebhooks 1.1.1) would take:
 *
 * - If `new Webhook(secret)` accepts the secret, the key is what it decodes:
 *   an optional "whsec_" is cut off, the rest is base64.  That library's
 *   decoder wants at least four characters, at most two trailing '=' (which
 *   it does not count: padding may be missing or superfluous), and only the
 *   standard alphabet, so no white space; it never looks at the last
 *   character when 4n + 1 remain without the padding, nor at the spare bits.
 * - Otherwise the key is the secret's bytes as issued, which is what
 *   `new Webhook(secret, {format: "raw"})` takes.
 *
 * src/pure/signature.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_SIGNATURE_H
#define KGW_PURE_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* HMAC-SHA256 in hex, with its NUL. */
#define KGW_SIGNATURE_HEX_SIZE 65
/* "v1," and the base64 of 32 bytes, with its NUL. */
#define KGW_SIGNATURE_HEADER_SIZE 48

/* Random bytes in a secret of our own making ... */
#define KGW_SECRET_BYTES 32
/* ... and its text: "whsec_" and their base64, with its NUL. */
#define KGW_SECRET_SIZE 51

typedef struct KgwSigner KgwSigner;

/*
 * Both keys of one secret, ready for use.  NULL when there is no memory or
 * OpenSSL fails.  The secret is not kept; an empty one is allowed here.
 */
extern KgwSigner *kgw_signature_signer_new(const char *secret, size_t len);

/* Frees the signer and wipes its keys; NULL is allowed. */
extern void kgw_signature_signer_free(KgwSigner *signer);

/*
 * Signature of a body: lower-case hex of the HMAC-SHA256 of the canonical
 * text c[0..len).  False when OpenSSL fails.
 */
extern bool kgw_signature_signer_body(KgwSigner *signer, const char *c, size_t len,
							char hex[KGW_SIGNATURE_HEX_SIZE]);

/*
 * Signature for the header webhook-signature: "v1," and the base64 of the
 * HMAC-SHA256 of "{webhook_id}.{timestamp}.{body}".  webhook_id is
 * NUL-terminated, timestamp in Unix seconds.  False when OpenSSL fails.
 */
extern bool kgw_signature_signer_header(KgwSigner *signer, const char *webhook_id,
							  int64_t timestamp, const char *body, size_t len,
							  char out[KGW_SIGNATURE_HEADER_SIZE]);

/* Are the two equal?  Takes the same time wherever they differ. */
extern bool kgw_signature_equal(const char *a, const char *b, size_t len);

/* Writes a new secret made of random bytes that the caller drew. */
extern void kgw_signature_format_secret(const unsigned char random[KGW_SECRET_BYTES],
							  char out[KGW_SECRET_SIZE]);

#endif							/* KGW_PURE_SIGNATURE_H */
