/*-------------------------------------------------------------------------
 *
 * http_signature.h
 *	  HTTP Message Signatures (RFC 9421) of our requests.
 *
 * src/pure/ed25519/http_signature.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_ED25519_HTTP_SIGNATURE_H
#define KGW_PURE_ED25519_HTTP_SIGNATURE_H

#include "pure/ed25519/signing_key.h"

/* Room for each header's line, with its NUL. */
#define KGW_HTTP_SIGNATURE_LINE 320

typedef struct KgwHttpSignature
{
	char		content_digest[KGW_HTTP_SIGNATURE_LINE];	/* "Content-Digest: ..." */
	char		signature_input[KGW_HTTP_SIGNATURE_LINE];
	char		signature[KGW_HTTP_SIGNATURE_LINE];
} KgwHttpSignature;

/*
 * Sign a POST of a JSON body to a URL that is valid.  webhook_id is NUL-terminated and has
 * no quotes; timestamp is in Unix seconds, and is what webhook-timestamp says.  False when
 * OpenSSL fails or there is no memory.
 */
extern bool kgw_http_signature_make(KgwSigningKey *key, const char *url, const char *webhook_id,
									int64_t timestamp, const char *body, size_t len,
									KgwHttpSignature *out);

#endif							/* KGW_PURE_ED25519_HTTP_SIGNATURE_H */
