/*-------------------------------------------------------------------------
 *
 * fuzz_verify.c
 *	  Fuzzes what kg_sign() and kg_verify() do with a secret and a body.
 *
 * The first line is the secret, the rest the body.  A body that can be signed
 * must verify both ways that receivers have (tail cut off, and canonicalized
 * again), and must not verify with a bit of it turned unless it is the same
 * document still.  OpenSSL's one-shot HMAC judges the signers; it is given the
 * key that base64 has by OpenSSL's own decoder.
 *
 * test/fuzz/fuzz_verify.c
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "pure/jcs/jcs.h"
#include "pure/signature.h"

#define TAIL 80
#define STAMP INT64_C(1700000000)
#define SECRET_MAX 600

static KgwJcs *first;
static KgwJcs *second;

/* HMAC-SHA256 by OpenSSL's one-shot function. */
static void
hmac(const void *key, size_t key_len, const char *message, size_t len, uint8_t mac[32])
{
	unsigned	n = 32;

	MUST(HMAC(EVP_sha256(), key_len > 0 ? key : "", (int) key_len,
			  (const unsigned char *) message, len, mac, &n) != NULL && n == 32);
}

static void
check_body_signature(const char *secret, size_t secret_len, const char *text, size_t len,
					 const char *hex)
{
	uint8_t		mac[32];
	char		expected[KGW_SIGNATURE_HEX_SIZE];
	int			i;

	hmac(secret, secret_len, text, len, mac);
	for (i = 0; i < 32; i++)
		snprintf(expected + 2 * i, 3, "%02x", mac[i]);
	MUST(strcmp(expected, hex) == 0);
	MUST(kgw_signature_equal(expected, hex, KGW_SIGNATURE_HEX_SIZE - 1));
}

/* Is it base64 that nobody could read in two ways? */
static bool
is_plain_base64(const char *text, size_t len)
{
	static const char alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t		i;

	if (len < 4 || len % 4 != 0)
		return false;
	for (i = 0; i < len; i++)
	{
		if (text[i] == '\0' || strchr(alphabet, text[i]) == NULL)
			return false;
	}
	return true;
}

/* The header's signature; its key is only foretold for plain base64. */
static void
check_header_signature(KgwSigner *signer, const char *secret, size_t secret_len,
					   const char *body, size_t len)
{
	static const char before[] = "msg_1.1700000000.";
	char		header[KGW_SIGNATURE_HEADER_SIZE];
	char		expected[KGW_SIGNATURE_HEADER_SIZE] = "v1,";
	uint8_t		key[SECRET_MAX];
	uint8_t		mac[32];
	char	   *message;
	int			key_len;

	MUST(kgw_signature_signer_header(signer, "msg_1", STAMP, body, len, header));
	MUST(strlen(header) == KGW_SIGNATURE_HEADER_SIZE - 1 && memcmp(header, "v1,", 3) == 0);
	if (secret_len >= 6 && memcmp(secret, "whsec_", 6) == 0)
	{
		secret += 6;
		secret_len -= 6;
	}
	if (!is_plain_base64(secret, secret_len))
		return;
	key_len = EVP_DecodeBlock(key, (const unsigned char *) secret, (int) secret_len);
	MUST(key_len > 0);
	message = malloc(sizeof(before) + len);
	MUST(message != NULL);
	memcpy(message, before, sizeof(before) - 1);
	memcpy(message + sizeof(before) - 1, body, len);
	hmac(key, (size_t) key_len, message, sizeof(before) - 1 + len, mac);
	EVP_EncodeBlock((unsigned char *) expected + 3, mac, 32);
	MUST(strcmp(header, expected) == 0);
	free(message);
}

/* Does a body carry the signature that this secret makes, as kg_verify() has it? */
static bool
verifies(KgwSigner *signer, const char *body, size_t len)
{
	static const KgwMembers members = {.drop_signature = true};
	char		expected[KGW_SIGNATURE_HEX_SIZE];
	const char *given;
	const char *text;
	size_t		given_len;
	size_t		text_len;

	if (kgw_jcs_run(second, body, len, &members) != KGW_CANONICAL_OK ||
		!kgw_jcs_signature(second, &given, &given_len))
		return false;
	MUST(given != NULL || given_len == 0);
	text = kgw_jcs_text(second, &text_len);
	MUST(kgw_signature_signer_body(signer, text, text_len, expected));
	return given != NULL && given_len == KGW_SIGNATURE_HEX_SIZE - 1 &&
		kgw_signature_equal(given, expected, given_len);
}

/* A bit turned anywhere is noticed, unless the same document is left. */
static void
check_tampering(KgwSigner *signer, const char *sealed, size_t len, size_t which)
{
	char	   *copy = malloc(len * 5 + 64);
	const char *text;
	size_t		text_len;

	MUST(copy != NULL);
	memcpy(copy, sealed, len);
	copy[which / 8 % len] = (char) (copy[which / 8 % len] ^ 1 << which % 8);
	if (verifies(signer, copy, len))
	{
		MUST(kgw_jcs_run(second, copy, len, NULL) == KGW_CANONICAL_OK);
		text = kgw_jcs_text(second, &text_len);
		memcpy(copy, text, text_len);
		MUST(kgw_jcs_run(second, sealed, len, NULL) == KGW_CANONICAL_OK);
		text = kgw_jcs_text(second, &len);
		MUST(text_len == len && memcmp(text, copy, len) == 0);
	}
	free(copy);
}

static void
check_sealed(KgwSigner *signer, const char *secret, size_t secret_len, const char *canonical,
			 size_t canonical_len, const char *hex)
{
	size_t		len;
	const char *sealed = kgw_jcs_seal(first, hex, &len);
	char	   *cut;
	size_t		i;

	MUST(sealed != NULL && kgw_jcs_seal(first, hex, &i) == NULL);
	MUST(len == canonical_len - 1 + TAIL && sealed[len] == '\0');
	MUST(verifies(signer, sealed, len));
	check_header_signature(signer, secret, secret_len, sealed, len);

	/* the way without any JSON library */
	cut = malloc(len);
	MUST(cut != NULL);
	memcpy(cut, sealed, len - TAIL);
	cut[len - TAIL] = '}';
	MUST(memcmp(cut, canonical, canonical_len) == 0);
	free(cut);
	for (i = 0; i < 24; i++)
		check_tampering(signer, sealed, len, (i * 7919 + 13) * (len / 3 + 1));
}

static void
sign(KgwSigner *signer, const char *secret, size_t secret_len, const char *body, size_t len)
{
	static const KgwMembers members = {.stamp = true, .timestamp = STAMP, .drop_signature = true};
	char		hex[KGW_SIGNATURE_HEX_SIZE];
	const char *text;
	char	   *copy;

	if (kgw_jcs_run(first, body, len, &members) != KGW_CANONICAL_OK)
		return;
	text = kgw_jcs_text(first, &len);
	MUST(kgw_signature_signer_body(signer, text, len, hex));
	check_body_signature(secret, secret_len, text, len, hex);
	copy = malloc(len);
	MUST(copy != NULL);
	memcpy(copy, text, len);
	check_sealed(signer, secret, secret_len, copy, len, hex);
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *secret = (const char *) data;
	const char *end = size > 0 ? memchr(data, '\n', size) : NULL;
	size_t		secret_len = end != NULL ? (size_t) (end - secret) : size;
	KgwSigner  *signer;

	if (secret_len > SECRET_MAX)
		return 0;
	if (first == NULL)
	{
		first = kgw_jcs_new();
		second = kgw_jcs_new();
	}
	signer = kgw_signature_signer_new(secret, secret_len);
	MUST(signer != NULL);
	if (end != NULL)
	{
		const char *body = end + 1;
		size_t		len = size - secret_len - 1;

		verifies(signer, body, len);
		sign(signer, secret, secret_len, body, len);
	}
	kgw_signature_signer_free(signer);
	return 0;
}
