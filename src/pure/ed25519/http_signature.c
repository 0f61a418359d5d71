/*-------------------------------------------------------------------------
 *
 * http_signature.c
 *	  HTTP Message Signatures (RFC 9421) of our requests.
 *
 * What is signed is the method, where the request goes, the digest of its body (RFC 9530),
 * and the headers that say what it is.  Where it goes is @authority, @path and @query and
 * not @target-uri: a receiver behind something that ends TLS does not know the scheme any
 * more, and would rebuild another URI.
 *
 * The parameters are always the same and in the same order, so that the text that is signed
 * and the header that names it are made from one format.
 *
 * src/pure/ed25519/http_signature.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/ed25519/http_signature.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_BYTES 32
/* base64 with its NUL */
#define DIGEST_SIZE 45
#define SIGNATURE_SIZE 89

#define CONTENT_TYPE "application/json"
#define PARAMETERS \
	"(\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\" \"content-type\"" \
	" \"webhook-id\" \"webhook-timestamp\");created=%" PRId64 ";keyid=\"%s\";alg=\"ed25519\";tag=\"webhook\""

/* Where the parts of a URL stand in it. */
typedef struct KgwTarget
{
	const char *authority;		/* without the scheme's own port */
	int			authority_len;
	const char *path;			/* "/" when the URL has none */
	int			path_len;
	const char *query;			/* with its "?"; "?" when the URL has none */
	int			query_len;
} KgwTarget;

static bool
ends_in(const char *text, size_t len, const char *end)
{
	size_t		end_len = strlen(end);

	return len >= end_len && memcmp(text + len - end_len, end, end_len) == 0;
}

/* Section 2.2: as the receiver rebuilds them.  A fragment is not sent. */
static void
take_apart(const char *url, KgwTarget *target)
{
	const char *scheme_end = strstr(url, "://");
	bool		https = scheme_end - url == 5;
	size_t		len;

	target->authority = scheme_end + 3;
	len = strcspn(target->authority, "/?#");
	target->path = target->authority + len;
	if (ends_in(target->authority, len, https ? ":443" : ":80"))
		len -= https ? 4 : 3;
	target->authority_len = (int) len;
	target->path_len = (int) strcspn(target->path, "?#");
	target->query = target->path + target->path_len;
	target->query_len = (int) strcspn(target->query, "#");
	if (target->path_len == 0)
	{
		target->path = "/";
		target->path_len = 1;
	}
	if (target->query_len == 0)
	{
		target->query = "?";
		target->query_len = 1;
	}
}

static void
lower(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		if (text[i] >= 'A' && text[i] <= 'Z')
			text[i] += 'a' - 'A';
	}
}

/* Section 2.5: the text that is signed; malloc'd, or NULL when there is no memory. */
static char *
signature_base(const char *url, const char *digest, const char *webhook_id, int64_t timestamp,
			   const char *parameters)
{
	static const char method[] = "\"@method\": POST\n\"@authority\": ";
	KgwTarget	target;
	size_t		room = sizeof(method) + strlen(url) + strlen(webhook_id) + strlen(parameters) + 512;
	char	   *base = malloc(room);

	if (base == NULL)
		return NULL;
	take_apart(url, &target);
	snprintf(base, room, "%s%.*s\n\"@path\": %.*s\n\"@query\": %.*s\n"
			 "\"content-digest\": sha-256=:%s:\n\"content-type\": " CONTENT_TYPE "\n"
			 "\"webhook-id\": %s\n\"webhook-timestamp\": %" PRId64 "\n\"@signature-params\": %s",
			 method, target.authority_len, target.authority, target.path_len, target.path,
			 target.query_len, target.query, digest, webhook_id, timestamp, parameters);
	lower(base + sizeof(method) - 1, target.authority_len);
	return base;
}

static bool
digest_of(const char *body, size_t len, char out[DIGEST_SIZE])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned	size;

	if (!EVP_Digest(body, len, hash, &size, EVP_sha256(), NULL) || size != DIGEST_BYTES)
		return false;
	EVP_EncodeBlock((unsigned char *) out, hash, DIGEST_BYTES);
	return true;
}

bool
kgw_http_signature_make(KgwSigningKey *key, const char *url, const char *webhook_id,
						int64_t timestamp, const char *body, size_t len, KgwHttpSignature *out)
{
	char		digest[DIGEST_SIZE];
	char		parameters[KGW_HTTP_SIGNATURE_LINE];
	unsigned char signature[KGW_SIGNING_KEY_SIGNATURE];
	unsigned char text[SIGNATURE_SIZE];
	char	   *base;
	bool		done;

	if (!digest_of(body, len, digest))
		return false;
	snprintf(parameters, sizeof(parameters), PARAMETERS, timestamp, kgw_signing_key_id(key));
	base = signature_base(url, digest, webhook_id, timestamp, parameters);
	done = base != NULL && kgw_signing_key_sign(key, base, strlen(base), signature);
	free(base);
	if (!done)
		return false;
	EVP_EncodeBlock(text, signature, sizeof(signature));
	snprintf(out->content_digest, sizeof(out->content_digest), "Content-Digest: sha-256=:%s:", digest);
	done = snprintf(out->signature_input, sizeof(out->signature_input), "Signature-Input: sig1=%s",
					parameters) < (int) sizeof(out->signature_input);
	snprintf(out->signature, sizeof(out->signature), "Signature: sig1=:%s:", (char *) text);
	return done;
}
