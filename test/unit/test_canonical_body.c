/*-------------------------------------------------------------------------
 *
 * test_canonical_body.c
 *	  Canonical JSON: stamping, sealing and what can be asked of a body.
 *
 * test/unit/test_canonical_body.c
 *
 *-------------------------------------------------------------------------
 */
#include "tap.h"
#include "workspace.h"

static void
test_members(void)
{
	KgwMembers	stamp = {true, 1700000000, false, NULL};
	KgwMembers	drop = {false, 0, true, NULL};
	KgwMembers	both = {true, -5, true, NULL};
	KgwMembers	none = {false, 0, false, NULL};
	KgwMembers	inexact = {true, INT64_C(9007199254740993), false, NULL};
	KgwMembers	challenge = {.stamp = true, .timestamp = 5, .challenge = "0a1b"};

	is_str(canonical("{}", &stamp), "{\"timestamp\":1700000000}",
		   "a stamp in an empty object");
	is_str(canonical("{\"z\":1}", &stamp), "{\"timestamp\":1700000000,\"z\":1}",
		   "a stamp before others");
	is_str(canonical("{\"a\":1}", &stamp), "{\"a\":1,\"timestamp\":1700000000}",
		   "a stamp after others");
	is_str(canonical("{\"timestamp\":12,\"a\":1}", &stamp),
		   "{\"a\":1,\"timestamp\":1700000000}", "a stamp over a stamp");
	is_str(canonical("{\"timest\\u0061mp\":{\"b\":{\"d\":1,\"c\":2},\"a\":2},"
					 "\"a\":{\"c\":1,\"b\":2}}", &stamp),
		   "{\"a\":{\"b\":2,\"c\":1},\"timestamp\":1700000000}",
		   "a stamp over an object");
	is_str(canonical("{\"timestamp\":1,\"timestamp\":2}", &stamp),
		   "member /timestamp is there twice", "two stamps");
	is_str(canonical("{\"timestamp\":1e999}", &stamp),
		   "number 1e999 at /timestamp cannot be held exactly by a double",
		   "what is replaced is judged anyway");
	is_int(run_string("{}", &inexact), KGW_CANONICAL_INEXACT_NUMBER,
		   "a stamp that no double holds");
	is_str(canonical("{\"a\":{\"timestamp\":1,\"signature\":\"x\"}}", &both),
		   "{\"a\":{\"signature\":\"x\",\"timestamp\":1},\"timestamp\":-5}",
		   "only the top level is changed");

	is_str(canonical("{\"type\":\"t\",\"challenge\":\"\",\"a\":{\"challenge\":\"\"}}", &challenge),
		   "{\"a\":{\"challenge\":\"\"},\"challenge\":\"0a1b\",\"timestamp\":5,\"type\":\"t\"}",
		   "a challenge, at the top level");
	is_str(canonical("{\"\\u0063hallenge\":{\"b\":[1,{\"d\":1,\"c\":2}]}}", &challenge),
		   "{\"challenge\":\"0a1b\",\"timestamp\":5}", "over what was sent before");
	is_str(canonical("{\"challenge\":\"\",\"challenge\":\"\"}", &challenge),
		   "member /challenge is there twice", "two challenges");
	is_str(canonical("{\"a\":1}", &challenge), "{\"a\":1,\"timestamp\":5}", "none is added");
	is_str(canonical("{\"challenge\":\"mine\"}", &stamp),
		   "{\"challenge\":\"mine\",\"timestamp\":1700000000}", "a member of that name in another event");

	is_str(canonical("{\"signature\":\"x\"}", &drop), "{}",
		   "dropping the only member");
	is_str(canonical("{\"signature\":\"x\",\"b\":1,\"a\":2}", &drop),
		   "{\"a\":2,\"b\":1}", "dropping the first member");
	is_str(canonical("{\"b\":1,\"signature\":{\"d\":1,\"c\":2},\"a\":2}", &drop),
		   "{\"a\":2,\"b\":1}", "dropping one in the middle");
	is_str(canonical("{\"a\":1,\"\\u0073ignature\":null}", &drop), "{\"a\":1}",
		   "dropping the last member");
	is_str(canonical("{\"signature\":1,\"a\":1,\"signature\":2}", &drop),
		   "member /signature is there twice", "two signatures");
	is_str(canonical("{\"timestamp\":1,\"signature\":2}", &both),
		   "{\"timestamp\":-5}", "both at once");
	is_str(canonical("{\"b\":1,\"signature\":2,\"a\":3}", &none),
		   "{\"a\":3,\"b\":1,\"signature\":2}", "no change asked for");

	is_int(run_string("[1]", &stamp), KGW_CANONICAL_NOT_OBJECT,
		   "an array can't be stamped");
	is_str(kgw_jcs_problem(workspace), "the top level is not an object",
		   "... and is told why");
	is_int(run_string("[{\"signature\":1}]", &drop), KGW_CANONICAL_NOT_OBJECT,
		   "nor can an object in an array");
	is_int(run_string("\"{}\"", &none), KGW_CANONICAL_NOT_OBJECT,
		   "nor a string");
	is_int(run_string("[1", &stamp), KGW_CANONICAL_MALFORMED,
		   "what is no JSON at all is called that");
}

/* A known text with a stamp at that byte, which has to be what the whole document gives. */
static void
is_stamped(const char *text, size_t at)
{
	KgwMembers	members = {.stamp = true, .timestamp = 1700000000, .drop_signature = true};
	char	   *whole = strdup(canonical(text, &members));
	size_t		len = strlen(text);
	char	   *exact = malloc(len);
	size_t		stamped;

	memcpy(exact, text, len);
	is_int(kgw_jcs_stamp(workspace, exact, len, at, members.timestamp), KGW_CANONICAL_OK,
		   "a stamp into %s", text);
	is_str(kgw_jcs_text(workspace, &stamped), whole, "... is where it belongs");
	is_int(stamped, strlen(whole), "... and its length");
	free(exact);
	free(whole);
}

static void
test_stamp(void)
{
	static const char hex[] =
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	KgwMembers	members = {.stamp = true, .timestamp = 5, .drop_signature = true};
	char	   *text = long_string(KGW_CANONICAL_MAX_BYTES);
	size_t		len;
	char	   *sealed;

	is_stamped("{}", 1);
	is_stamped("{\"a\":1}", 6);
	is_stamped("{\"z\":1}", 1);
	is_stamped("{\"a\":{\"z\":[1,2]},\"id\":\"\xc3\xa9\",\"tim\":2,\"timestamps\":3,\"z\":4}", 34);

	run_string("{\"a\":1}", &members);
	sealed = strdup(kgw_jcs_seal(workspace, hex, &len));
	kgw_jcs_stamp(workspace, "{\"a\":1}", 7, 6, 5);
	is_str(kgw_jcs_seal(workspace, hex, &len), sealed, "what is stamped can be sealed");
	free(sealed);

	memcpy(text, "{\"a\":\"", 6);
	memcpy(text + KGW_CANONICAL_MAX_BYTES - 2, "\"}", 2);
	is_int(kgw_jcs_stamp(workspace, text, KGW_CANONICAL_MAX_BYTES, KGW_CANONICAL_MAX_BYTES - 1, 5),
		   KGW_CANONICAL_TOO_LARGE, "no room for a stamp");
	is_int(kgw_jcs_stamp(workspace, "{}", 2, 1, INT64_C(9007199254740993)), KGW_CANONICAL_INEXACT_NUMBER,
		   "a stamp that no double holds");
	is_int(kgw_jcs_stamp(workspace, "{}", 2, 1, -5), KGW_CANONICAL_OK, "the workspace stays usable");
	is_str(kgw_jcs_text(workspace, &len), "{\"timestamp\":-5}", "... for a time before the epoch");
	free(text);
}

/* What the document said of its time; -1 if nothing that counts. */
static long long
timestamp(const char *json)
{
	int64_t		ts = -1;

	if (run_string(json, NULL) != KGW_CANONICAL_OK ||
		!kgw_jcs_timestamp(workspace, &ts))
		return -1;
	return ts;
}

static void
test_timestamp(void)
{
	KgwMembers	stamp = {true, 7, false, NULL};
	int64_t		ts;

	is_int(timestamp("{\"timestamp\": 1700000000 }"), 1700000000, "a time");
	is_int(timestamp("{\"timestamp\":0}"), 0, "the epoch");
	is_int(timestamp("{\"timestamp\":-12}"), -12, "before the epoch");
	is_int(timestamp("{\"timestamp\":-9223372036854775808}"), INT64_MIN,
		   "the earliest");
	is_int(timestamp("{\"timestamp\":9223372036854774784}"),
		   INT64_C(9223372036854774784), "the last that a double holds");
	is_int(timestamp("{\"timestamp\":9223372036854775808}"), -1, "too late");
	is_int(timestamp("{\"timestamp\":18446744073709551616}"), -1,
		   "far too late");
	is_int(timestamp("{\"timestamp\":-9223372036854777856}"), -1, "too early");
	is_int(timestamp("{\"timestamp\":1e3}"), -1, "an exponent");
	is_int(timestamp("{\"timestamp\":1.0}"), -1, "a fraction");
	is_int(timestamp("{\"timestamp\":-0}"), -1, "minus zero");
	is_int(timestamp("{\"timestamp\":\"5\"}"), -1, "a string");
	is_int(timestamp("{\"timestamp\":[5]}"), -1, "an array");
	is_int(timestamp("{\"a\":{\"timestamp\":5}}"), -1, "another level");
	is_int(timestamp("{\"Timestamp\":5}"), -1, "another name");
	is_int(timestamp("5"), -1, "no object");

	run_string("{\"timestamp\":5}", &stamp);
	ok(kgw_jcs_timestamp(workspace, &ts) && ts == 5,
	   "stamping leaves the time that was there to be asked for");
	run_string("{}", &stamp);
	ok(!kgw_jcs_timestamp(workspace, &ts), "... if there was one");
}

/* What the document had for a signature. */
static const char *
signature(const char *json, bool drop)
{
	KgwMembers	members = {false, 0, drop, NULL};
	const char *sig;
	size_t		len;
	static char text[64];

	if (run_string(json, &members) != KGW_CANONICAL_OK)
		return "(failed)";
	if (!kgw_jcs_signature(workspace, &sig, &len))
		return "(none)";
	if (sig == NULL)
		return "(no string)";
	memcpy(text, sig, len);
	text[len] = '\0';
	return text;
}

static void
test_signature(void)
{
	const char *sig;
	size_t		len;
	int			drop;

	for (drop = 0; drop < 2; drop++)
	{
		is_str(signature("{\"signature\":\"abc\"}", drop), "abc",
			   "a signature, dropped or not (%d)", drop);
		is_str(signature("{\"a\":1,\"signature\":\"\"}", drop), "",
			   "an empty one");
		is_str(signature("{\"signature\":\"\\\"\\\\\\b\\f\\n\\r\\t\\u001f/"
						 "\\u00e9\\ud83d\\ude02\"}", drop),
			   "\"\\\b\f\n\r\t\x1f/\xc3\xa9\xf0\x9f\x98\x82",
			   "it comes unescaped");
		is_str(signature("{\"signature\":null}", drop), "(no string)",
			   "null is no string");
		is_str(signature("{\"signature\":[\"x\"]}", drop), "(no string)",
			   "nor is an array");
		is_str(signature("{\"a\":{\"signature\":\"x\"}}", drop), "(none)",
			   "another level doesn't count");
		is_str(signature("{}", drop), "(none)", "there is none");
	}
	run_string("{\"signature\":\"a\\u0000b\"}", NULL);
	ok(kgw_jcs_signature(workspace, &sig, &len) && len == 3 &&
	   memcmp(sig, "a\0b", 3) == 0, "a NUL is counted");
	run_string("[]", NULL);
	ok(!kgw_jcs_signature(workspace, &sig, &len) && sig == NULL &&
	   len == 0, "nothing is left of it after the next run");
}

static void
test_seal(void)
{
	static const char hex[] =
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	KgwMembers	both = {true, 5, true, NULL};
	size_t		len;

#define SEAL "\"signature\":\"0123456789abcdef0123456789abcdef" \
	"0123456789abcdef0123456789abcdef\"}"
	run_string("{}", NULL);
	is_str(kgw_jcs_seal(workspace, hex, &len), "{" SEAL,
		   "sealing an empty object");
	is_int(len, 80, "... and its length");
	ok(kgw_jcs_seal(workspace, hex, &len) == NULL, "only once");

	run_string("{\"b\":{},\"signature\":1,\"a\":1}", &both);
	is_str(kgw_jcs_seal(workspace, hex, &len),
		   "{\"a\":1,\"b\":{},\"timestamp\":5," SEAL, "sealing an object");
	is_int(len, strlen("{\"a\":1,\"b\":{},\"timestamp\":5") + 80,
		   "... appends 80 bytes for its bracket");

	run_string("{\"a\":1}", NULL);
	is_str(kgw_jcs_seal(workspace, hex, &len), "{\"a\":1," SEAL,
		   "sealing what was in order already");
	run_string("{\"signature\":1}", NULL);
	ok(kgw_jcs_seal(workspace, hex, &len) == NULL,
	   "a signature that was left in is not doubled");
	run_string("[{}]", NULL);
	ok(kgw_jcs_seal(workspace, hex, &len) == NULL,
	   "an array can't be sealed");
	run_string("{", NULL);
	ok(kgw_jcs_seal(workspace, hex, &len) == NULL,
	   "nor can a failure");
}

/* The largest text there is, in order and not, still has room for a seal. */
static void
test_seal_largest(void)
{
	static const char order[] = "{\"a\":1,\"b\":\"";
	static const char disorder[] = "{\"b\":1,\"a\":\"";
	char	   *json = long_string(KGW_CANONICAL_MAX_BYTES);
	char		hex[64];
	size_t		len;

	memset(hex, 'f', sizeof(hex));
	memcpy(json, order, sizeof(order) - 1);
	memcpy(json + KGW_CANONICAL_MAX_BYTES - 2, "\"}", 2);
	kgw_jcs_run(workspace, json, KGW_CANONICAL_MAX_BYTES, NULL);
	kgw_jcs_seal(workspace, hex, &len);
	is_int(len, KGW_CANONICAL_MAX_BYTES + 79, "sealing a megabyte");
	memcpy(json, disorder, sizeof(disorder) - 1);
	kgw_jcs_run(workspace, json, KGW_CANONICAL_MAX_BYTES, NULL);
	kgw_jcs_seal(workspace, hex, &len);
	is_int(len, KGW_CANONICAL_MAX_BYTES + 79, "... that was out of order");
	free(json);
}

int
main(void)
{
	workspace = kgw_jcs_new();
	test_members();
	test_stamp();
	test_timestamp();
	test_signature();
	test_seal();
	test_seal_largest();
	kgw_jcs_free(workspace);
	return done_testing();
}
