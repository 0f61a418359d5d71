/*-------------------------------------------------------------------------
 *
 * test_signature.c
 *	  Signatures: published vectors, and which key a secret stands for.
 *
 * The expected headers of test_header_keys() were made with the npm library
 * standardwebhooks 1.1.1: `new Webhook(secret).sign(...)` where it accepts the
 * secret, else `new Webhook(bytes of the secret, {format: "raw"})`.
 *
 * test/unit/test_signature.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/signature.h"
#include "tap.h"

#include <stdlib.h>

/* Signs a body with a secret; "" when that fails. */
static const char *
body(const char *secret, size_t len, const char *message)
{
	static char hex[KGW_SIGNATURE_HEX_SIZE];
	KgwSigner  *signer = kgw_signature_signer_new(secret, len);

	if (signer == NULL ||
		!kgw_signature_signer_body(signer, message, strlen(message), hex))
		hex[0] = '\0';
	kgw_signature_signer_free(signer);
	return hex;
}

/* RFC 4231, for key and message of any bytes (here without NULs). */
static void
test_rfc4231(void)
{
	char		key[131];

	memset(key, 0x0b, 20);
	is_str(body(key, 20, "Hi There"),
		   "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
		   "RFC 4231 test case 1");
	is_str(body("Jefe", 4, "what do ya want for nothing?"),
		   "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
		   "RFC 4231 test case 2");
	memset(key, 0xaa, 131);
	is_str(body(key, 131,
				"Test Using Larger Than Block-Size Key - Hash Key First"),
		   "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
		   "RFC 4231 test case 6: a key longer than a block");
	is_str(body(NULL, 0, ""),
		   "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad",
		   "an empty key");
}

/* Made with: printf '{}' | openssl dgst -sha256 -hmac whsec_QUJD */
static void
test_body_key(void)
{
	is_str(body("whsec_QUJD", 10, "{}"),
		   "425174d4c8578fe2bb4475d174f1cbfad1ca3b5cd64eeb9aff94d0fd0825eac7",
		   "the body's key is the secret with its prefix");
}

static void
test_header_keys(void)
{
	static const char *const table[][2] = {
		/* decoded */
		{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "v1,8WmO9OATkSvjxs+eEJolmK2V9ge32ryGE0kSd4GZiDY="},
		{"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "v1,8WmO9OATkSvjxs+eEJolmK2V9ge32ryGE0kSd4GZiDY="},
		{"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=", "v1,iNRDRmSejXCH75Dt7SdDskzYkW+egfLGXUS0ETolAIs="},
		{"whsec_QUJDREU=", "v1,ywJg07mJWgz4LlhXleC98u6wEdaRmRtOLOOM24T8sLc="},
		{"whsec_QUJDREU", "v1,ywJg07mJWgz4LlhXleC98u6wEdaRmRtOLOOM24T8sLc="},
		{"whsec_QUJDRA==", "v1,mj5TpGUjjh0WWDCDHlA76dOvzdqPXHo7oa9KjaDqypI="},
		{"whsec_QUJDRA", "v1,mj5TpGUjjh0WWDCDHlA76dOvzdqPXHo7oa9KjaDqypI="},
		{"whsec_QUJDRA=", "v1,mj5TpGUjjh0WWDCDHlA76dOvzdqPXHo7oa9KjaDqypI="},
		{"QUJDRB==", "v1,mj5TpGUjjh0WWDCDHlA76dOvzdqPXHo7oa9KjaDqypI="},
		{"QUJD=", "v1,zvLIZBykn3Eq12H2xZY+HIyDaZmR5XoVJDyHeQ1l5qg="},
		{"QUJD==", "v1,zvLIZBykn3Eq12H2xZY+HIyDaZmR5XoVJDyHeQ1l5qg="},
		{"QUJDR", "v1,zvLIZBykn3Eq12H2xZY+HIyDaZmR5XoVJDyHeQ1l5qg="},
		{"QUJD!", "v1,zvLIZBykn3Eq12H2xZY+HIyDaZmR5XoVJDyHeQ1l5qg="},
		{"QUJD\xc3\xa9", "v1,zvLIZBykn3Eq12H2xZY+HIyDaZmR5XoVJDyHeQ1l5qg="},
		{"QUJD\xe2\x82\xac==", "v1,zvLIZBykn3Eq12H2xZY+HIyDaZmR5XoVJDyHeQ1l5qg="},
		{"AA==", "v1,xDrRIpj1jMNiV+2McFS5mFTiqB6xyPIrOLZyseDdpwo="},
		{"AAA=", "v1,xDrRIpj1jMNiV+2McFS5mFTiqB6xyPIrOLZyseDdpwo="},
		/* raw */
		{"AAA", "v1,bHo3kLp1CVpJEmhPvbxScDoua1GjSoPbUaG2CBfi/m0="},
		{"QUJD===", "v1,UNHlGemdmNDC4cBwuPW/aUa4OgLXa9vlnJN5uvCEpbU="},
		{"QUJD\xf0\x9f\x98\x82", "v1,4MeXf39a1D3LjnOFaiih7zT9NiJDKdioWNNdeXtnh9E="},
		{"QUJ\xc3\xa9", "v1,EDS8Dh/Y0bQ0ntfN8On8+uKBUAHo6UGioYe4I/7AuNw="},
		{"whsec_", "v1,v6+8VMKbmBhev6fnxMi+5AS5z6OxJ/JLfmmWazBXtLU="},
		{"whsec_==", "v1,JXakeDKGmq7TSuJOsKag3hX7QmaltE3ZAHDx1IG2JNY="},
		{"whsec_QUJD RA==", "v1,UewlBn7CKi5WLKIe3M+kKDaNMeWGw2GqArAep2W1UWM="},
		{"whsec_QUJDRA==\n", "v1,5hauJtyHVGOKwVGKEPeLrsIneA0zAmSckW0H/WDwmTU="},
		{" whsec_QUJDRA==", "v1,gibdfUUZP/lrQ4PZ2CXoPavT/cztoMhy66Xps734UcE="},
		{"QU=D", "v1,++6J1XagfRvBhctqJFPt2LonXQB5smO/DO4FHIb1XvQ="},
		{"====", "v1,wazK/nUZb8pYRBckQqxnojHwSOBQNkE2Kip7DuoRdB0="},
		{"-_-_", "v1,vLmc/BUHqC5Zov8g8KKQQxYzxC/GenRZhI39FSvSTaU="},
		{"whsec_whsec_QUJD", "v1,EWoTp4dPAFiDkPnU0Y+AW0+JxVW8EtzWJY3B9Aazick="},
		{"WHSEC_QUJD", "v1,d4+OfBgJMiHH5WcXj0frCEMxoxOxdBTI+JlWgnMXWQs="},
		{"correct horse battery", "v1,YZx8QbFlcs/suk/wEcCfZ97qdtCf2O2h5IW//BkQBrE="},
	};
	size_t		i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		size_t		len = strlen(table[i][0]);
		char	   *secret = malloc(len);
		char		out[KGW_SIGNATURE_HEADER_SIZE] = "";
		KgwSigner  *signer;

		memcpy(secret, table[i][0], len);
		signer = kgw_signature_signer_new(secret, len);
		free(secret);
		if (signer != NULL)
			kgw_signature_signer_header(signer, "msg_1", 1614265330, "{\"a\":1}", 7, out);
		kgw_signature_signer_free(signer);
		is_str(out, table[i][1], "the header's key of secret %d", (int) i + 1);
	}
}

/* The specification's own example. */
static void
test_specification(void)
{
	static const char secret[] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
	static const char payload[] = "{\"test\": 2432232314}";
	KgwSigner  *signer = kgw_signature_signer_new(secret, strlen(secret));
	char		out[KGW_SIGNATURE_HEADER_SIZE];
	char		hex[KGW_SIGNATURE_HEX_SIZE];
	char		again[KGW_SIGNATURE_HEX_SIZE];
	int			i;

	kgw_signature_signer_body(signer, payload, strlen(payload), hex);
	for (i = 0; i < 3; i++)
	{
		kgw_signature_signer_header(signer, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
						  payload, strlen(payload), out);
		is_str(out, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
			   "Standard Webhooks' own example, time %d", i + 1);
		kgw_signature_signer_body(signer, payload, strlen(payload), again);
		is_str(again, hex, "... and one signer signs alike each time");
	}
	kgw_signature_signer_header(signer, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265331,
					  payload, strlen(payload), out);
	ok(strcmp(out, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=") != 0,
	   "a second later it is another signature");
	kgw_signature_signer_free(signer);
}

static void
test_equal(void)
{
	ok(kgw_signature_equal("abcd", "abcd", 4), "equal signatures are equal");
	ok(!kgw_signature_equal("abcd", "abce", 4), "the last byte counts");
	ok(!kgw_signature_equal("abcd", "bbcd", 4), "the first byte counts");
	ok(kgw_signature_equal("abcd", "abce", 3), "no byte beyond the length does");
}

static void
test_secret(void)
{
	unsigned char random[KGW_SECRET_BYTES];
	char		out[KGW_SECRET_SIZE];
	int			i;

	for (i = 0; i < KGW_SECRET_BYTES; i++)
		random[i] = (unsigned char) (255 - i);
	kgw_signature_format_secret(random, out);
	is_str(out, "whsec_//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=",
		   "a secret is its bytes in base64");
	is_int(strlen(out), KGW_SECRET_SIZE - 1, "... and fills its buffer");
}

static void
test_no_signer(void)
{
	kgw_signature_signer_free(NULL);
	ok(true, "freeing no signer does nothing");
}

int
main(void)
{
	test_rfc4231();
	test_body_key();
	test_header_keys();
	test_specification();
	test_equal();
	test_secret();
	test_no_signer();
	return done_testing();
}
