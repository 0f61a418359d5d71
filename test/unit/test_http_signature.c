/*-------------------------------------------------------------------------
 *
 * test/unit/test_http_signature.c
 *	  What an HTTP Message Signature (RFC 9421) is of.
 *
 * The text that has to be signed is written out here as RFC 9421, 2.5 has it, and the
 * signature that the header carries has to be the one of that text.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/ed25519/http_signature.h"

#include <curl/curl.h>
#include <openssl/evp.h>

#include "tap.h"

#define BODY "{\"hello\": \"world\"}\n"
/* of that body: RFC 9530, B.1 */
#define DIGEST "RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg="
#define ID "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
#define PARAMETERS \
	"(\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\" \"content-type\" \"webhook-id\" " \
	"\"webhook-timestamp\");created=1700000000;keyid=\"" ID "\";alg=\"ed25519\";tag=\"webhook\""

static KgwSigningKey *key;

static void
signs(const char *url, const char *authority, const char *path, const char *query)
{
	KgwHttpSignature out;
	char		base[1024];
	unsigned char signature[KGW_SIGNING_KEY_SIGNATURE];
	char		expected[KGW_HTTP_SIGNATURE_LINE] = "Signature: sig1=:";
	size_t		begin = strlen(expected);

	snprintf(base, sizeof(base),
			 "\"@method\": POST\n\"@authority\": %s\n\"@path\": %s\n\"@query\": %s\n"
			 "\"content-digest\": sha-256=:" DIGEST ":\n\"content-type\": application/json\n"
			 "\"webhook-id\": msg_1\n\"webhook-timestamp\": 1700000000\n\"@signature-params\": " PARAMETERS,
			 authority, path, query);
	ok(kgw_signing_key_sign(key, base, strlen(base), signature), "the text for %s", url);
	EVP_EncodeBlock((unsigned char *) expected + begin, signature, sizeof(signature));
	strcat(expected, ":");
	ok(kgw_http_signature_make(key, url, "msg_1", 1700000000, BODY, strlen(BODY), &out), "a signature");
	is_str(out.signature, expected, "is of it");
	is_str(out.content_digest, "Content-Digest: sha-256=:" DIGEST ":", "the digest of RFC 9530");
	is_str(out.signature_input, "Signature-Input: sig1=" PARAMETERS, "what is signed is named");
}

/*
 * A host that libcurl rewrites, or not: what it makes of it is what is signed.  IPv6 addresses
 * are given to it in canonical form.
 */
static void
signs_as_sent(const char *host)
{
	CURLU	   *parsed = curl_url();
	char	   *sent = NULL;
	char		url[128];
	char		authority[128];

	snprintf(url, sizeof(url), "https://%s:8443/p", host);
	ok(curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
	   curl_url_get(parsed, CURLUPART_HOST, &sent, 0) == CURLUE_OK, "libcurl takes %s", host);
	snprintf(authority, sizeof(authority), "%s:8443", sent);
	signs(url, authority, "/p", "?");
	curl_free(sent);
	curl_url_cleanup(parsed);
}

int
main(void)
{
	static const unsigned char seed[KGW_SIGNING_KEY_SEED] = {
		0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
		0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60
	};
	static const char *const hosts[] = {
		"m.example", "a-b_c.d", "127.0.0.1", "127.1", "0x7f.1", "0x7f000001", "0177.1", "2130706433", "1.256", "1.2.300",
		"[2001:db8::1]", "[::1]", "[::ffff:0.1.0.2]", "[::ffff:1.2.3.4]", "[1:0:3:4:5:6:7:8]", "[1::2:0:0:3:4]"
	};
	char		private_text[KGW_SIGNING_KEY_PRIVATE_SIZE];
	char		public_text[KGW_SIGNING_KEY_PUBLIC_SIZE];

	ok(kgw_signing_key_make(seed, private_text, public_text), "a key");
	key = kgw_signing_key_new(private_text, strlen(private_text));
	signs("https://m.example/hook?a=1&b", "m.example", "/hook", "?a=1&b");
	signs("https://m.example", "m.example", "/", "?");
	signs("https://m.example/", "m.example", "/", "?");
	signs("https://m.example?x", "m.example", "/", "?x");
	signs("https://m.example/p?", "m.example", "/p", "?");
	signs("https://m.example/p#fragment", "m.example", "/p", "?");
	signs("https://m.example/p?q#fragment", "m.example", "/p", "?q");
	signs("https://M.Example:443/P%2fq", "m.example", "/P%2fq", "?");
	signs("https://m.example:8443/p", "m.example:8443", "/p", "?");
	signs("https://m.example:80/p", "m.example:80", "/p", "?");
	signs("http://m.example:80/p", "m.example", "/p", "?");
	signs("http://m.example:443/p", "m.example:443", "/p", "?");
	signs("https://[2001:DB8::1]:443/p", "[2001:db8::1]", "/p", "?");
	signs("https://[2001:db8::443]/p", "[2001:db8::443]", "/p", "?");
	/* addresses in other forms */
	signs("https://[2001:DB8:0:0::1]:8443/p", "[2001:db8::1]:8443", "/p", "?");
	signs("https://[0:0:0:0:0:0:0:1]:443/p", "[::1]", "/p", "?");
	signs("https://[::FFFF:102:304]/p", "[::ffff:1.2.3.4]", "/p", "?");
	signs("https://[1:0:0:2::3:4]/p", "[1::2:0:0:3:4]", "/p", "?");
	signs("https://127.1:8443/p", "127.0.0.1:8443", "/p", "?");
	signs("https://0177.0.0.1:443", "127.0.0.1", "/", "?");
	signs("https://2130706433?a", "127.0.0.1", "/", "?a");
	signs("https://127.0.0.1:444/p", "127.0.0.1:444", "/p", "?");
	signs("https://300.1.1.1/p", "300.1.1.1", "/p", "?");
	signs("https://08.1/p", "08.1", "/p", "?");
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		signs_as_sent(hosts[i]);
	kgw_signing_key_free(key);
	return done_testing();
}
