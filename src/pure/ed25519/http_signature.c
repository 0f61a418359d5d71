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
 * A receiver takes @authority from the Host header, which libcurl makes.  An address may be
 * written in many ways, and libcurl does not send all of them as they stand; so they are
 * written here as it does.
 *
 * The parameters are always the same and in the same order, so that the text that is signed
 * and the header that names it are made from one format.
 *
 * src/pure/ed25519/http_signature.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/ed25519/http_signature.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
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

/* Longest authority of a URL that is valid, and to spare. */
#define AUTHORITY_SIZE 280

/* The parts of a URL; path and query stand in it. */
typedef struct KgwTarget
{
	char		authority[AUTHORITY_SIZE];	/* lower case, without the scheme's own port */
	const char *path;			/* "/" when the URL has none */
	int			path_len;
	const char *query;			/* with its "?"; "?" when the URL has none */
	int			query_len;
} KgwTarget;

static bool
ends_in(const char *text, const char *end)
{
	size_t		len = strlen(text);
	size_t		end_len = strlen(end);

	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static void
lower(char *text)
{
	for (; *text != '\0'; text++)
	{
		if (*text >= 'A' && *text <= 'Z')
			*text += 'a' - 'A';
	}
}

/*
 * The host as it is sent: an IPv6 address in canonical form, as libcurl is given it, and
 * numbers that can be read as an IPv4 address as one, which libcurl makes of them.  False
 * when it stays as it is.
 */
static bool
rewrite_host(const char *host, char out[INET6_ADDRSTRLEN])
{
	struct in6_addr ipv6;
	struct in_addr ipv4;

	if (inet_pton(AF_INET6, host, &ipv6) == 1)
		return inet_ntop(AF_INET6, &ipv6, out, INET6_ADDRSTRLEN) != NULL;
	return inet_aton(host, &ipv4) != 0 && inet_ntop(AF_INET, &ipv4, out, INET6_ADDRSTRLEN) != NULL;
}

/* Section 2.2.3: in lower case, and without the scheme's own port. */
static void
format_authority(const char *authority, size_t len, bool https, char out[AUTHORITY_SIZE])
{
	const char *own_port = https ? ":443" : ":80";
	int			bracket = authority[0] == '[';
	char		host[AUTHORITY_SIZE];
	char		port[AUTHORITY_SIZE];	/* with its colon, or empty */
	char		rewritten[INET6_ADDRSTRLEN];
	size_t		host_len;

	snprintf(out, AUTHORITY_SIZE, "%.*s", (int) len, authority);
	lower(out);
	if (ends_in(out, own_port))
		out[strlen(out) - strlen(own_port)] = '\0';
	host_len = strcspn(out + bracket, bracket ? "]" : ":");
	snprintf(host, sizeof(host), "%.*s", (int) host_len, out + bracket);
	snprintf(port, sizeof(port), "%s", out + host_len + 2 * bracket);
	if (rewrite_host(host, rewritten))
		snprintf(out, AUTHORITY_SIZE, bracket ? "[%s]%s" : "%s%s", rewritten, port);
}

/* Section 2.2: as the receiver rebuilds them.  A fragment is not sent. */
static void
take_apart(const char *url, KgwTarget *target)
{
	const char *scheme_end = strstr(url, "://");
	size_t		len = strcspn(scheme_end + 3, "/?#");

	format_authority(scheme_end + 3, len, scheme_end - url == 5, target->authority);
	target->path = scheme_end + 3 + len;
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

/* Section 2.5: the text that is signed; malloc'd, or NULL when there is no memory. */
static char *
signature_base(const char *url, const char *digest, const char *webhook_id, int64_t timestamp,
			   const char *parameters)
{
	KgwTarget	target;
	size_t		room = AUTHORITY_SIZE + strlen(url) + strlen(webhook_id) + strlen(parameters) + 512;
	char	   *base = malloc(room);

	if (base == NULL)
		return NULL;
	take_apart(url, &target);
	snprintf(base, room, "\"@method\": POST\n\"@authority\": %s\n\"@path\": %.*s\n\"@query\": %.*s\n"
			 "\"content-digest\": sha-256=:%s:\n\"content-type\": " CONTENT_TYPE "\n"
			 "\"webhook-id\": %s\n\"webhook-timestamp\": %" PRId64 "\n\"@signature-params\": %s",
			 target.authority, target.path_len, target.path, target.query_len, target.query, digest, webhook_id, timestamp, parameters);
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
