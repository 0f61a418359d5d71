/*-------------------------------------------------------------------------
 *
 * test/unit/test_request_headers.c
 *	  Headers that an endpoint may have, and whom a keyring gives them to.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/array.h"
#include "pure/keyring.h"

#include "tap.h"

static void
test_names(void)
{
	static const char *const good[] = {
		"Authorization", "X-Api-Key", "x", "Idempotency-Key", "a!#$%&'*+-.^_`|~9", "Hosted", "Contents",
		"Testing", "Viable", "X-Webhook-Id", "X-Forward", "If-Range", "Accept", "Dated", "Signatures"
	};
	static const char *const bad[] = {
		"", " X", "X ", "X:", "X\r", "X\n", "X\tY", "X(Y", "X/Y", "\xc3\xa9", "X\x7f",
		"Host", "hOST", "Content-Type", "Content-Length", "content-anything", "Content_Length", "Content",
		"Webhook-Id", "WEBHOOK_ID", "webhook-token", "User-Agent", "User_Agent", "Signature", "Signature-Input",
		"Connection", "Transfer-Encoding", "Expect", "TE", "Upgrade", "Trailer", "Proxy-Authorization", "Proxy",
		"Cookie", "Keep-Alive", "Forwarded", "Via", "X-Forwarded-For", "X_Forwarded_For", "X-Real-IP",
		"X-HTTP-Method-Override", "X-HTTP-Method", "X-Original-URL", "X-Rewrite-URL", "Accept-Encoding", "Digest",
		"Repr-Digest", "Date", "Range"
	};

	for (int i = 0; i < KGW_LENGTH_OF(good); i++)
		is_str(kgw_request_headers_judge_name(good[i], strlen(good[i])), NULL, "%s may be set", good[i]);
	for (int i = 0; i < KGW_LENGTH_OF(bad); i++)
		ok(kgw_request_headers_judge_name(bad[i], strlen(bad[i])) != NULL, "name %d may not", i);
	ok(kgw_request_headers_judge_name("X\0Y", 3) != NULL, "nor one with a NUL");
}

static void
test_values(void)
{
	static const char *const bad[] = {"", " a", "a ", "\ta", "a\r", "a\nb", "a\x1b", "\xc3\xa9", "a\x7f"};

	is_str(kgw_request_headers_judge_value("Basic a: \tb~!", 13), NULL, "visible ASCII, with blanks within");
	for (int i = 0; i < KGW_LENGTH_OF(bad); i++)
		ok(kgw_request_headers_judge_value(bad[i], strlen(bad[i])) != NULL, "value %d is refused", i);
	ok(kgw_request_headers_judge_value("a\0b", 3) != NULL, "nor one with a NUL");
}

static void
test_lines(void)
{
	static const char text[] = "X-A: one\nHost: evil\nX-B: a\rHost: evil\nX-C:two\nnothing\nX-D: t:w o\nX-E: cut";
	KgwHeaders *headers = kgw_request_headers_new(7, "https://a:443", text, strlen(text));

	is_int(headers->count, 2, "what could not have been set is left out");
	is_str(headers->lines[0], "X-A: one", "the first");
	is_str(headers->lines[1], "X-D: t:w o", "the last that is whole");
	kgw_request_headers_release(headers);
	kgw_request_headers_release(NULL);
	ok(kgw_request_headers_share(NULL) == NULL, "none is shared");
}

static void
test_keyring(void)
{
	KgwKeyring	keyring = {0};
	KgwHeaders *held;

	ok(kgw_keyring_headers_add(&keyring, kgw_request_headers_new(7, "https://a:443", "X: 7\n", 5)) &&
	   kgw_keyring_headers_add(&keyring, kgw_request_headers_new(8, "https://a:443", "X: 8\n", 5)), "two endpoints' at one host");
	ok(!kgw_keyring_headers_add(&keyring, NULL), "none is none");
	held = kgw_keyring_headers_hold(&keyring, 8, "https://a:443");
	is_str(held->lines[0], "X: 8", "each has its own");
	ok(kgw_keyring_headers_hold(&keyring, 9, "https://a:443") == NULL, "another endpoint has none");
	ok(kgw_keyring_headers_hold(&keyring, 0, "https://a:443") == NULL, "nor has an object's own URL");
	ok(kgw_keyring_headers_hold(&keyring, 8, "https://a:444") == NULL, "nor has it elsewhere");
	kgw_keyring_clear(&keyring);
	is_str(held->lines[0], "X: 8", "what is held stays");
	kgw_request_headers_release(held);
}

int
main(void)
{
	test_names();
	test_values();
	test_lines();
	test_keyring();
	return done_testing();
}
