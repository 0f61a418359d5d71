/*-------------------------------------------------------------------------
 *
 * test/unit/test_signing_key.c
 *	  Ed25519: the vectors of RFC 8032, the thumbprint of RFC 8037, and the texts.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/ed25519/signing_key.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "tap.h"

/* RFC 8032, 7.1: TEST 1, 2, 3 and SHA(abc) */
static const struct
{
	const char *seed;
	const char *public_key;
	const char *message;
	const char *signature;
}			vectors[] = {
	{"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
		"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
		"",
		"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
	{"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
		"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
		"72",
		"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
	{"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
		"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
		"af82",
		"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
	{"833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
		"ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
		"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
		"dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"}
};

static size_t
from_hex(const char *hex, unsigned char *out)
{
	size_t		len = strlen(hex) / 2;
	size_t		i;

	for (i = 0; i < len; i++)
	{
		char		byte[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

		out[i] = (unsigned char) strtol(byte, NULL, 16);
	}
	return len;
}

static KgwSigningKey *
make(const char *seed_hex, char public_text[KGW_SIGNING_KEY_PUBLIC_SIZE])
{
	unsigned char seed[KGW_SIGNING_KEY_SEED];
	char		private_text[KGW_SIGNING_KEY_PRIVATE_SIZE];

	from_hex(seed_hex, seed);
	ok(kgw_signing_key_make(seed, private_text, public_text), "a key is made");
	ok(strncmp(private_text, "whsk_", 5) == 0 && strlen(private_text) == sizeof(private_text) - 1, "its private text");
	return kgw_signing_key_new(private_text, strlen(private_text));
}

static void
test_vectors(void)
{
	size_t		i;

	for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
	{
		char		public_text[KGW_SIGNING_KEY_PUBLIC_SIZE];
		char		expected_text[KGW_SIGNING_KEY_PUBLIC_SIZE] = "whpk_";
		unsigned char bytes[64];
		unsigned char message[64];
		unsigned char signature[KGW_SIGNING_KEY_SIGNATURE];
		size_t		len = from_hex(vectors[i].message, message);
		KgwSigningKey *key = make(vectors[i].seed, public_text);

		EVP_EncodeBlock((unsigned char *) expected_text + 5, bytes, (int) from_hex(vectors[i].public_key, bytes));
		is_str(public_text, expected_text, "its public text");
		ok(key != NULL && kgw_signing_key_sign(key, message, len, signature), "it signs");
		from_hex(vectors[i].signature, bytes);
		ok(memcmp(signature, bytes, sizeof(signature)) == 0, "as RFC 8032 has it, vector %d", (int) i + 1);
		kgw_signing_key_free(key);
	}
}

/* RFC 8037, A.2 and A.3: the key of TEST 1 */
static void
test_names(void)
{
	char		public_text[KGW_SIGNING_KEY_PUBLIC_SIZE];
	char		id[KGW_SIGNING_KEY_ID_SIZE];
	KgwSigningKey *key = make(vectors[0].seed, public_text);

	is_str(kgw_signing_key_id(key), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "the thumbprint of RFC 8037");
	ok(kgw_signing_key_describe(public_text, strlen(public_text), id), "a public text is described");
	is_str(id, kgw_signing_key_id(key), "by the same thumbprint");
	kgw_signing_key_free(key);
}

/* The header: the signature is that of id, second and body with points between. */
static void
test_header(void)
{
	static const char body[] = "{\"a\":1}";
	static const char message[] = "msg_1.1700000000.{\"a\":1}";
	char		public_text[KGW_SIGNING_KEY_PUBLIC_SIZE];
	char		header[KGW_SIGNING_KEY_HEADER_SIZE];
	char		expected[KGW_SIGNING_KEY_HEADER_SIZE] = "v1a,";
	unsigned char signature[KGW_SIGNING_KEY_SIGNATURE];
	KgwSigningKey *key = make(vectors[1].seed, public_text);

	ok(kgw_signing_key_header(key, "msg_1", 1700000000, body, strlen(body), header), "a header");
	ok(kgw_signing_key_sign(key, message, strlen(message), signature), "of that message");
	EVP_EncodeBlock((unsigned char *) expected + 4, signature, sizeof(signature));
	is_str(header, expected, "is its signature");
	kgw_signing_key_free(key);
}

static void
refused(const char *text, const char *why)
{
	KgwSigningKey *key = kgw_signing_key_new(text, strlen(text));

	ok(key == NULL, "no private key: %s", why);
	kgw_signing_key_free(key);
}

static void
test_texts(void)
{
	unsigned char seed[KGW_SIGNING_KEY_SEED] = {1};
	char		text[KGW_SIGNING_KEY_PRIVATE_SIZE];
	char		other[KGW_SIGNING_KEY_PRIVATE_SIZE];
	char		public_text[KGW_SIGNING_KEY_PUBLIC_SIZE];
	char		id[KGW_SIGNING_KEY_ID_SIZE];

	ok(kgw_signing_key_make(seed, text, public_text), "a key");
	refused("", "empty");
	refused(public_text, "a public one");
	memcpy(other, text, sizeof(other));
	other[0] = 'W';
	refused(other, "another prefix");
	memcpy(other, text, sizeof(other));
	other[strlen(other) - 1] = '\0';
	refused(other, "cut off");
	memcpy(other, text, sizeof(other));
	other[20] = '-';
	refused(other, "a character that is not base64's");
	memcpy(other, text, sizeof(other));
	other[60] = other[60] == 'A' ? 'B' : 'A';
	refused(other, "a public half that is another key's");
	ok(!kgw_signing_key_describe(text, strlen(text), id), "a private text is no public one");
	public_text[10] = '=';
	ok(!kgw_signing_key_describe(public_text, strlen(public_text), id), "nor is one that is no base64");
	kgw_signing_key_free(NULL);
}

int
main(void)
{
	test_vectors();
	test_names();
	test_header();
	test_texts();
	return done_testing();
}
