/*-------------------------------------------------------------------------
 *
 * attempt_headers.c
 *	  The headers of an attempt that are ours: who, when, what, and the signatures.
 *
 * webhook-id, -timestamp and -signature are those of the Standard Webhooks; the last has
 * a signature by each secret that is good now, and by each key, so that a receiver in the
 * midst of a rotation finds one that it knows.  The signatures of RFC 9421, with the
 * digest of RFC 9530, come only where they were asked for, and by the first key.
 *
 * A line has a fixed size, and what others have chosen, an event's name, is cut to it.
 * What is signed is the identifier, the second and the body, as they are sent.
 *
 * src/send/attempt_headers.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "pure/ed25519/http_signature.h"
#include "send/attempt_headers.h"

/* Begin a header line; returns where its value goes, and there is room for one. */
static char *
begin_header(char line[KGW_HEADER_SIZE], const char *name)
{
	size_t		len = strlen(name);

	memcpy(line, name, len);
	memcpy(line + len, ": ", 3);
	return line + len + 2;
}

/*
 * A header line.  What a header can't carry (controls, other than ASCII) is
 * percent-encoded: a status is any text, and must not add headers of its own.
 */
static void
format_header(char line[KGW_HEADER_SIZE], const char *name, const char *value)
{
	char	   *at = begin_header(line, name);
	char	   *end = line + KGW_HEADER_SIZE;

	for (; *value != '\0' && at < end - 4; value++)
	{
		unsigned char c = (unsigned char) *value;

		if (c > 0x20 && c < 0x7f && c != '%')
			*at++ = c;
		else
			at += snprintf(at, end - at, "%%%02X", c);
	}
	*at = '\0';
}

/* Append a signature of each of the keyring's keys, if it has any. */
static bool
sign_header_by_keys(KgwAttempt *attempt, const KgwDelivery *row, const KgwKeyring *keyring,
					int64 now, char *at)
{
	KgwSigningKey *keys[KGW_KEYRING_MAX];
	int			count = kgw_keyring_keys(keyring, now, keys);

	for (int i = 0; i < count; i++)
	{
		*at++ = ' ';
		if (!kgw_signing_key_header(keys[i], row->webhook_id, now, attempt->body,
									attempt->body_len, at))
			return false;
		at += KGW_SIGNING_KEY_HEADER_SIZE - 1;
	}
	return true;
}

/* The header with a signature of each signer, then of each of the keyring's keys. */
static bool
sign_header(KgwAttempt *attempt, const KgwDelivery *row, KgwSigner **signers, int count,
			const KgwKeyring *keys, int64 now)
{
	char	   *at = begin_header(attempt->headers[2], "webhook-signature");

	StaticAssertStmt(KGW_KEYRING_MAX * (KGW_SIGNATURE_HEADER_SIZE + KGW_SIGNING_KEY_HEADER_SIZE) + 20 <=
					 KGW_HEADER_SIZE, "all signatures fit into the header");

	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			*at++ = ' ';
		if (!kgw_signature_signer_header(signers[i], row->webhook_id, now, attempt->body,
							   attempt->body_len, at))
			return false;
		at += KGW_SIGNATURE_HEADER_SIZE - 1;
	}
	return sign_header_by_keys(attempt, row, keys, now, at);
}

/* The three headers of RFC 9421 and 9530, where they are wanted; else none. */
static bool
sign_http(KgwAttempt *attempt, const KgwDelivery *row, const KgwKeyring *keyring, int64 now)
{
	KgwSigningKey *keys[KGW_KEYRING_MAX];
	KgwHttpSignature lines;

	StaticAssertStmt(KGW_HTTP_SIGNATURE_LINE <= KGW_HEADER_SIZE, "each line fits into a header's");
	for (int i = 5; i < 8; i++)
		attempt->headers[i][0] = '\0';
	if (!kgw_keyring_signs_http(keyring, row->subscription_id) ||
		kgw_keyring_keys(keyring, now, keys) == 0)
		return true;
	if (!kgw_http_signature_make(keys[0], row->url, row->webhook_id, now, attempt->body,
								 attempt->body_len, &lines))
		return false;
	memcpy(attempt->headers[5], lines.content_digest, KGW_HTTP_SIGNATURE_LINE);
	memcpy(attempt->headers[6], lines.signature_input, KGW_HTTP_SIGNATURE_LINE);
	memcpy(attempt->headers[7], lines.signature, KGW_HTTP_SIGNATURE_LINE);
	return true;
}

/* Make an attempt's headers: see attempt_headers.h. */
bool
kgw_attempt_headers_make(KgwAttempt *attempt, const KgwDelivery *row, KgwSigner **signers,
						 int count, const KgwKeyring *keys, int64 now)
{
	char	   *id = begin_header(attempt->headers[0], "webhook-id");

	if (!sign_header(attempt, row, signers, count, keys, now) || !sign_http(attempt, row, keys, now))
		return false;
	strlcpy(id, row->webhook_id, attempt->headers[0] + KGW_HEADER_SIZE - id);
	pg_lltoa(now, begin_header(attempt->headers[1], "webhook-timestamp"));
	format_header(attempt->headers[3], "webhook-event", row->event);
	pg_ltoa(attempt->number, begin_header(attempt->headers[4], "webhook-attempt"));
	return true;
}
