/*-------------------------------------------------------------------------
 *
 * test_canonical.c
 *	  Canonical JSON: samples of RFC 8785, every refusal, every cap, and what
 *	  becomes of the workspace.
 *
 * Inputs are handed over in a buffer of exactly their size, so that the
 * sanitizers see any byte read beyond it.  Thousands of random documents are
 * compared with a JCS library by test/receivers/compare_canonical.mjs.
 *
 * The internal header is included for one thing only: how much memory the
 * workspace holds is nobody's business but this test's.
 *
 * test/unit/test_canonical.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/canonical_internal.h"
#include "tap.h"

#include <stdlib.h>
#include <sys/resource.h>

static KgwCanonical *workspace;

static KgwCanonicalStatus
run(const char *json, size_t len, const KgwMembers *members)
{
	char	   *exact = malloc(len);
	KgwCanonicalStatus status;

	memcpy(exact, json, len);
	status = kgw_canonical_run(workspace, exact, len, members);
	free(exact);
	return status;
}

static KgwCanonicalStatus
run_string(const char *json, const KgwMembers *members)
{
	return run(json, strlen(json), members);
}

/* The canonical text of a string, or the problem with it. */
static const char *
canonical(const char *json, const KgwMembers *members)
{
	size_t		len;

	if (run_string(json, members) != KGW_CANONICAL_OK)
		return kgw_canonical_problem(workspace);
	return kgw_canonical_text(workspace, &len);
}

static void
test_samples(void)
{
	static const char *const table[][2] = {
		/* RFC 8785 section 3.2.2 */
		{"{\n"
			"  \"numbers\": [333333333.33333329, 1E30, 4.50,\n"
			"              2e-3, 0.000000000000000000000000001],\n"
			"  \"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\",\n"
			"  \"literals\": [null, true, false]\n"
			"}",
			"{\"literals\":[null,true,false],"
			"\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
		"\"string\":\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"},
		/* RFC 8785 section 3.2.3 */
		{"{\n"
			"  \"\\u20ac\": \"Euro Sign\",\n"
			"  \"\\r\": \"Carriage Return\",\n"
			"  \"\\ufb33\": \"Hebrew Letter Dalet With Dagesh\",\n"
			"  \"1\": \"One\",\n"
			"  \"\\ud83d\\ude00\": \"Emoji: Grinning Face\",\n"
			"  \"\\u0080\": \"Control\",\n"
			"  \"\\u00f6\": \"Latin Small Letter O With Diaeresis\"\n"
			"}",
			"{\"\\r\":\"Carriage Return\",\"1\":\"One\","
			"\"\xc2\x80\":\"Control\","
			"\"\xc3\xb6\":\"Latin Small Letter O With Diaeresis\","
			"\"\xe2\x82\xac\":\"Euro Sign\","
			"\"\xf0\x9f\x98\x80\":\"Emoji: Grinning Face\","
		"\"\xef\xac\xb3\":\"Hebrew Letter Dalet With Dagesh\"}"},
		/* values by themselves */
		{" null\n", "null"},
		{"\ttrue\r", "true"},
		{"false", "false"},
		{"-0", "0"},
		{"\"\"", "\"\""},
		{"{}", "{}"},
		{" [ ] ", "[]"},
		{"[[],{},[{}]]", "[[],{},[{}]]"},
		/* strings */
		{"\"\\b\\t\\n\\f\\r\\\"\\\\\\/\"", "\"\\b\\t\\n\\f\\r\\\"\\\\/\""},
		{"\"\\u0008\\u0009\\u000A\\u000C\\u000D\\u0022\\u005C\\u002F\"",
		"\"\\b\\t\\n\\f\\r\\\"\\\\/\""},
		{"\"\\u0000\\u000b\\u001F\\u007f\"", "\"\\u0000\\u000b\\u001f\x7f\""},
		{"\"\\uD83D\\uDE02\\uFFFF\\u00e9\"",
		"\"\xf0\x9f\x98\x82\xef\xbf\xbf\xc3\xa9\""},
		{"\"\xf0\x9f\x98\x82 \xe2\x80\xa8 \x7f /\"",
		"\"\xf0\x9f\x98\x82 \xe2\x80\xa8 \x7f /\""},
		{"\"a long one, with \\\"quotes\\\" beyond eight bytes\"",
		"\"a long one, with \\\"quotes\\\" beyond eight bytes\""},
		/* order of members */
		{"{\"b\":1,\"a\":2}", "{\"a\":2,\"b\":1}"},
		{"{\"a\":1,\"\":2,\"aa\":3}", "{\"\":2,\"a\":1,\"aa\":3}"},
		{"{\"10\":1,\"9\":2,\"1\":3}", "{\"1\":3,\"10\":1,\"9\":2}"},
		{"{\"\xef\xac\xb3\":1,\"\xf0\x9f\x98\x82\":2}",
		"{\"\xf0\x9f\x98\x82\":2,\"\xef\xac\xb3\":1}"},
		{"{\"\xed\x9f\xbf\":1,\"\xf4\x8f\xbf\xbf\":2,\"\xee\x80\x80\":3}",
		"{\"\xed\x9f\xbf\":1,\"\xf4\x8f\xbf\xbf\":2,\"\xee\x80\x80\":3}"},
		{"{\"a\\\"\":1,\"a#\":2,\"a!\":3,\"a\\n\":4,\"a\\u0000\":5,\"a\":6}",
		"{\"a\":6,\"a\\u0000\":5,\"a\\n\":4,\"a!\":3,\"a\\\"\":1,\"a#\":2}"},
		{"{\"a]\":1,\"a\\\\\":2,\"a[\":3}", "{\"a[\":3,\"a\\\\\":2,\"a]\":1}"},
		/* reordering inside of what is, or is not, reordered */
		{"{\"z\":{\"y\":{\"b\":1,\"a\":2},\"x\":0},\"a\":[{\"d\":1,\"c\":2},3,"
			"{\"f\":1,\"e\":2}]}",
			"{\"a\":[{\"c\":2,\"d\":1},3,{\"e\":2,\"f\":1}],"
		"\"z\":{\"x\":0,\"y\":{\"a\":2,\"b\":1}}}"},
		{"[{\"b\":1,\"a\":2},{\"a\":{\"d\":1,\"c\":2},\"b\":0}]",
		"[{\"a\":2,\"b\":1},{\"a\":{\"c\":2,\"d\":1},\"b\":0}]"},
	};
	size_t		i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		is_str(canonical(table[i][0], NULL), table[i][1],
			   "sample %d", (int) i + 1);
}

static void
test_malformed(void)
{
	static const char *const table[] = {
		"", " ", "nul", "nulll", "True", "NaN", "Infinity", "-", "-a", "+1",
		"01", "-01", "1.", ".5", "1.e1", "1e", "1e+", "0x10", "1 2", "1,",
		"\"", "\"a", "\"\\\"", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"",
		"\"\\U0041\"", "\"\n\"", "\"\x01\"", "\"abcdefgh\x1f\"", "'a'", "[",
		"[1", "[1,", "[1,]", "[,1]", "[1 2]", "]", "[}", "{", "{]", "{\"a\"",
		"{\"a\":", "{\"a\":}", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}",
		"{\"a\" 1}", "{\"a\":1 \"b\":2}", "{a:1}", "{1:2}", "{,}", "{\"a\":1]",
		"{}{}", "[]]", "// x\n1", "1 // x", "\xef\xbb\xbf{}", "\xff", "\f1",
		"\xc2\xa0[]",
	};
	size_t		i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		is_int(run_string(table[i], NULL), KGW_CANONICAL_MALFORMED,
			   "malformed text %d", (int) i + 1);
		ok(strncmp(kgw_canonical_problem(workspace),
				   "malformed JSON: ", 16) == 0, "... and says so");
	}
	is_int(run("1\0", 2, NULL), KGW_CANONICAL_MALFORMED, "a NUL ends nothing");
	is_str(canonical("{\"a\" 1}", NULL),
		   "malformed JSON: no colon after a member name at byte 6",
		   "the byte is counted from 1");
	is_str(kgw_canonical_hint(workspace), "", "... and there is no hint");
}

static void
test_bad_unicode(void)
{
	static const char *const table[] = {
		/* invalid UTF-8, by kind */
		"\"\x80\"", "\"\xbf\"", "\"\xc0\x80\"", "\"\xc1\xbf\"", "\"\xc3\"",
		"\"\xc3", "\"\xc3(\"", "\"\xe0\x80\x80\"", "\"\xe0\x9f\xbf\"",
		"\"\xe2\x82\"", "\"\xe2\x28\xa1\"", "\"\xed\xa0\x80\"",
		"\"\xed\xbf\xbf\"", "\"\xf0\x80\x80\x80\"", "\"\xf0\x8f\xbf\xbf\"",
		"\"\xf0\x9f\x98\"", "\"\xf0\x9f\x28\x82\"", "\"\xf4\x90\x80\x80\"",
		"\"\xf5\x80\x80\x80\"", "\"\xfe\"", "\"\xff\"",
		"\"eight or more \xff\"", "{\"\xff\":1}",
		/* half a surrogate pair */
		"\"\\ud800\"", "\"\\udc00\"", "\"\\uDBFF\"", "\"\\uDFFF\"",
		"\"\\ud83d\\ud83d\"", "\"\\ude02\\ud83d\"", "\"\\ud83dx\"",
		"\"\\ud83d\\n\"", "\"\\ud83d\\u0041\"", "\"\\ud83d\\u\"", "\"\\ud83d",
		"{\"\\ud83d\":1}",
	};
	size_t		i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		is_int(run_string(table[i], NULL),
			   KGW_CANONICAL_BAD_UNICODE, "bad Unicode %d", (int) i + 1);
	is_str(canonical("[\"a\xff\"]", NULL), "invalid UTF-8 at byte 4",
		   "where invalid UTF-8 is");
	is_str(canonical("\"\\ud83d!\"", NULL), "half a surrogate pair at byte 2",
		   "where half a surrogate pair is");
}

static void
test_duplicates(void)
{
	static const char *const table[][2] = {
		{"{\"a\":1,\"a\":1}", "member /a is there twice"},
		{"{\"a\":1,\"\\u0061\":2}", "member /a is there twice"},
		{"{\"b\":1,\"a\":2,\"b\":3}", "member /b is there twice"},
		{"{\"\":1,\"\":2}", "member / is there twice"},
		{"{\"x\":[0,{\"b\":{\"n\\n\":1,\"a\":2,\"n\\u000a\":3}}]}",
		"member /x/1/b/n\\n is there twice"},
		{"{\"\\ud83d\\ude02\":1,\"\xf0\x9f\x98\x82\":2}",
		"member /\xf0\x9f\x98\x82 is there twice"},
	};
	size_t		i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		is_str(canonical(table[i][0], NULL), table[i][1],
			   "duplicate %d", (int) i + 1);
		is_int(workspace->status, KGW_CANONICAL_DUPLICATE, "... is refused");
	}
	is_str(canonical("[{\"a\":{\"a\":1}},{\"a\":2}]", NULL),
		   "[{\"a\":{\"a\":1}},{\"a\":2}]", "other objects may have that name");
}

static void
test_inexact(void)
{
	char		json[1024];
	const char *problem;

	is_int(run_string("1e400", NULL), KGW_CANONICAL_INEXACT_NUMBER,
		   "an infinite number is refused");
	is_str(kgw_canonical_hint(workspace), "Send it as a string.",
		   "... with a hint");
	is_str(kgw_canonical_problem(workspace),
		   "number 1e400 at the top level can't be held exactly by a double",
		   "... and its place");
	is_str(canonical("{\"order_data\":{\"b\":[],\"total\":9007199254740993}}",
					 NULL),
		   "number 9007199254740993 at /order_data/total "
		   "can't be held exactly by a double", "a pointer to a member");
	is_str(canonical("[[1,2],[{\"a\":1},{\"b\":[0,1e999]}]]", NULL),
		   "number 1e999 at /1/1/b/1 can't be held exactly by a double",
		   "a pointer through arrays");
	is_str(canonical("{\"a/b\":{\"c~d\":{\"e\\n\\u007f\\u0085\\u00e9\":"
					 "1e999}}}", NULL),
		   "number 1e999 at /a~1b/c~0d/e\\n\\u007f\\u0085\xc3\xa9 "
		   "can't be held exactly by a double",
		   "a pointer escapes what it has to");

	memset(json, '9', 100);
	strcpy(json + 100, "");
	is_str(canonical(json, NULL),
		   "number 9999999999999999999999999999999999999999... at the top "
		   "level can't be held exactly by a double",
		   "a long number is cut after 40 digits");

	/* 300 bytes of two-byte letters, shifted by one byte */
	strcpy(json, "{\"x");
	for (problem = json + 303; strlen(json) < (size_t) (problem - json);)
		strcat(json, "\xc3\xa9");
	strcat(json, "\":{\"deeper\":1e999}}");
	problem = canonical(json, NULL);
	ok(strlen(problem) < KGW_CANONICAL_PROBLEM_BYTES &&
	   strstr(problem, "\xc3\xa9... can't be held") != NULL,
	   "a long pointer is cut between characters");
	is_int(strstr(problem, "...") - strstr(problem, "/x"), 200,
		   "... after 200 bytes");
}

/* Puts "core" between so many "open" and so many "close". */
static KgwCanonicalStatus
run_nested(int depth, const char *open, const char *close, const char *core)
{
	size_t		open_len = strlen(open);
	size_t		close_len = strlen(close);
	char	   *json = malloc(depth * (open_len + close_len) + strlen(core) + 1);
	char	   *p = json;
	KgwCanonicalStatus status;
	int			i;

	for (i = 0; i < depth; i++, p += open_len)
		memcpy(p, open, open_len);
	p += sprintf(p, "%s", core);
	for (i = 0; i < depth; i++, p += close_len)
		memcpy(p, close, close_len);
	status = run(json, p - json, NULL);
	free(json);
	return status;
}

static void
test_depth(void)
{
	size_t		len;

	is_int(run_nested(512, "[", "]", ""), KGW_CANONICAL_OK,
		   "512 arrays inside each other");
	is_int(run_nested(513, "[", "]", ""), KGW_CANONICAL_TOO_DEEP,
		   "513 are refused");
	is_str(kgw_canonical_problem(workspace),
		   "more than 512 arrays and objects inside each other",
		   "... and told why");
	is_int(run_nested(512, "{\"b\":", ",\"a\":1}", "2"), KGW_CANONICAL_OK,
		   "512 objects inside each other, all out of order");
	ok(strncmp(kgw_canonical_text(workspace, &len),
			   "{\"a\":1,\"b\":{\"a\":1,\"b\":", 22) == 0,
	   "... are put in order");
	is_int(run_nested(513, "{\"b\":", ",\"a\":1}", "2"),
		   KGW_CANONICAL_TOO_DEEP, "513 are refused");
	is_int(run_nested(256, "[{\"b\":", ",\"a\":1}]", "2"), KGW_CANONICAL_OK,
		   "both count alike: 512");
	is_int(run_nested(256, "[{\"b\":", ",\"a\":1}]", "[]"),
		   KGW_CANONICAL_TOO_DEEP, "... and 513");
	is_int(run_nested(1000000 / 2, "[", "]", ""), KGW_CANONICAL_TOO_DEEP,
		   "half a million arrays do no harm");
}

/* A JSON string of len bytes, quotes included. */
static char *
long_string(size_t len)
{
	char	   *json = malloc(len);

	memset(json, 'x', len);
	json[0] = json[len - 1] = '"';
	return json;
}

static void
test_size(void)
{
	char	   *json = long_string(KGW_CANONICAL_MAX_BYTES + 1);
	size_t		len;
	size_t		i;

	is_int(kgw_canonical_run(workspace, json, KGW_CANONICAL_MAX_BYTES + 1,
							 NULL), KGW_CANONICAL_TOO_LARGE,
		   "a text of more than a megabyte is refused");
	is_str(kgw_canonical_problem(workspace), "longer than 1048576 bytes",
		   "... and told why");
	is_int(kgw_canonical_run(workspace, json, SIZE_MAX, NULL),
		   KGW_CANONICAL_TOO_LARGE, "... whatever the length");
	json[KGW_CANONICAL_MAX_BYTES - 1] = '"';
	is_int(kgw_canonical_run(workspace, json, KGW_CANONICAL_MAX_BYTES, NULL),
		   KGW_CANONICAL_OK, "a megabyte is accepted");
	kgw_canonical_text(workspace, &len);
	is_int(len, KGW_CANONICAL_MAX_BYTES, "... as it is");

	/* 1e20 is four bytes that become 21 */
	for (i = 0; i < KGW_CANONICAL_MAX_BYTES; i++)
		json[i] = "1e20,"[i % 5];
	json[0] = '[';
	json[1] = '1';
	json[2] = '\n';
	json[3] = ' ';
	json[199999] = ']';
	is_int(kgw_canonical_run(workspace, json, 200000, NULL), KGW_CANONICAL_OK,
		   "a text that grows by a factor of four");
	kgw_canonical_text(workspace, &len);
	is_int(len, 2 + 1 + 39999 * 22, "... to its full length");
	json[199999] = ',';
	json[299999] = ']';
	is_int(kgw_canonical_run(workspace, json, 300000, NULL),
		   KGW_CANONICAL_TOO_LARGE, "a text that grows beyond a megabyte");
	free(json);
}

/* An order that a simple quicksort would hate. */
static void
test_many_members(void)
{
	enum
	{
		N = 80000
	};
	char	   *json = malloc(N * 16);
	char	   *p = json;
	const char *text;
	bool		sorted = true;
	size_t		len;
	int			i;

	for (i = N; i-- > 0;)
		p += sprintf(p, "%c\"%06d\":0", i == N - 1 ? '{' : ',', i);
	*p++ = '}';
	is_int(kgw_canonical_run(workspace, json, p - json, NULL),
		   KGW_CANONICAL_OK, "%d members in reverse", N);
	text = kgw_canonical_text(workspace, &len);
	is_int(len, p - json, "... keep their length");
	for (i = 0; i < N; i++)
		sorted = sorted && atoi(text + 2 + i * 11) == i;
	ok(sorted, "... and are in order");

	/* another digit makes the first equal to the last */
	memcpy(json + 2, "000000", 6);
	is_int(kgw_canonical_run(workspace, json, p - json, NULL),
		   KGW_CANONICAL_DUPLICATE, "two among them that are equal");
	free(json);
}

static void
test_members(void)
{
	KgwMembers	stamp = {true, 1700000000, false};
	KgwMembers	drop = {false, 0, true};
	KgwMembers	both = {true, -5, true};
	KgwMembers	none = {false, 0, false};
	KgwMembers	inexact = {true, INT64_C(9007199254740993), false};

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
		   "number 1e999 at /timestamp can't be held exactly by a double",
		   "what is replaced is judged all the same");
	is_int(run_string("{}", &inexact), KGW_CANONICAL_INEXACT_NUMBER,
		   "a stamp that no double holds");
	is_str(canonical("{\"a\":{\"timestamp\":1,\"signature\":\"x\"}}", &both),
		   "{\"a\":{\"signature\":\"x\",\"timestamp\":1},\"timestamp\":-5}",
		   "only the top level is changed");

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
	is_str(kgw_canonical_problem(workspace), "the top level is not an object",
		   "... and is told why");
	is_int(run_string("[{\"signature\":1}]", &drop), KGW_CANONICAL_NOT_OBJECT,
		   "nor can an object in an array");
	is_int(run_string("\"{}\"", &none), KGW_CANONICAL_NOT_OBJECT,
		   "nor a string");
	is_int(run_string("[1", &stamp), KGW_CANONICAL_MALFORMED,
		   "what is no JSON at all is called that");
}

/* What the document said of its time; -1 if nothing that counts. */
static long long
timestamp(const char *json)
{
	int64_t		ts = -1;

	if (run_string(json, NULL) != KGW_CANONICAL_OK ||
		!kgw_canonical_timestamp(workspace, &ts))
		return -1;
	return ts;
}

static void
test_timestamp(void)
{
	KgwMembers	stamp = {true, 7, false};
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
	ok(kgw_canonical_timestamp(workspace, &ts) && ts == 5,
	   "stamping leaves the time that was there to be asked for");
	run_string("{}", &stamp);
	ok(!kgw_canonical_timestamp(workspace, &ts), "... if there was one");
}

/* What the document had for a signature. */
static const char *
signature(const char *json, bool drop)
{
	KgwMembers	members = {false, 0, drop};
	const char *sig;
	size_t		len;
	static char text[64];

	if (run_string(json, &members) != KGW_CANONICAL_OK)
		return "(failed)";
	if (!kgw_canonical_signature(workspace, &sig, &len))
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
	ok(kgw_canonical_signature(workspace, &sig, &len) && len == 3 &&
	   memcmp(sig, "a\0b", 3) == 0, "a NUL is counted");
	run_string("[]", NULL);
	ok(!kgw_canonical_signature(workspace, &sig, &len) && sig == NULL &&
	   len == 0, "nothing is left of it after the next run");
}

static void
test_seal(void)
{
	static const char hex[] =
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	KgwMembers	both = {true, 5, true};
	size_t		len;

#define SEAL "\"signature\":\"0123456789abcdef0123456789abcdef" \
	"0123456789abcdef0123456789abcdef\"}"
	run_string("{}", NULL);
	is_str(kgw_canonical_seal(workspace, hex, &len), "{" SEAL,
		   "sealing an empty object");
	is_int(len, 80, "... and its length");
	ok(kgw_canonical_seal(workspace, hex, &len) == NULL, "only once");

	run_string("{\"b\":{},\"signature\":1,\"a\":1}", &both);
	is_str(kgw_canonical_seal(workspace, hex, &len),
		   "{\"a\":1,\"b\":{},\"timestamp\":5," SEAL, "sealing an object");
	is_int(len, strlen("{\"a\":1,\"b\":{},\"timestamp\":5") + 80,
		   "... appends 80 bytes for its bracket");

	run_string("{\"a\":1}", NULL);
	is_str(kgw_canonical_seal(workspace, hex, &len), "{\"a\":1," SEAL,
		   "sealing what was in order already");
	run_string("{\"signature\":1}", NULL);
	ok(kgw_canonical_seal(workspace, hex, &len) == NULL,
	   "a signature that was left in is not doubled");
	run_string("[{}]", NULL);
	ok(kgw_canonical_seal(workspace, hex, &len) == NULL,
	   "an array can't be sealed");
	run_string("{", NULL);
	ok(kgw_canonical_seal(workspace, hex, &len) == NULL,
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
	kgw_canonical_run(workspace, json, KGW_CANONICAL_MAX_BYTES, NULL);
	kgw_canonical_seal(workspace, hex, &len);
	is_int(len, KGW_CANONICAL_MAX_BYTES + 79, "sealing a megabyte");
	memcpy(json, disorder, sizeof(disorder) - 1);
	kgw_canonical_run(workspace, json, KGW_CANONICAL_MAX_BYTES, NULL);
	kgw_canonical_seal(workspace, hex, &len);
	is_int(len, KGW_CANONICAL_MAX_BYTES + 79, "... that was out of order");
	free(json);
}

static size_t
held_bytes(void)
{
	return workspace->draft.capacity + workspace->open.capacity +
		workspace->kept.capacity + workspace->moved.capacity +
		workspace->ordered.capacity + workspace->signature.capacity;
}

static void
test_workspace(void)
{
	static const char small[] = "{\"b\":{\"d\":1,\"c\":2},\"a\":\"x\"}";
	char	   *json = long_string(KGW_CANONICAL_MAX_BYTES);
	const char *before;
	size_t		held;
	size_t		len;
	int			i;

	kgw_canonical_run(workspace, json, KGW_CANONICAL_MAX_BYTES, NULL);
	ok(held_bytes() > KGW_CANONICAL_MAX_BYTES, "a large document takes memory");
	before = canonical(small, NULL);
	held = held_bytes();
	ok(held < 6 * KGW_CANONICAL_KEEP_BYTES, "a small one gives it back");
	for (i = 0; i < 1000; i++)
		canonical(small, NULL);
	ok(kgw_canonical_text(workspace, &len) == before && held_bytes() == held,
	   "a thousand small ones take no more than the first");

	is_int(run_string("[", NULL), KGW_CANONICAL_MALFORMED, "after a failure");
	is_str(canonical(small, NULL), "{\"a\":\"x\",\"b\":{\"c\":2,\"d\":1}}",
		   "... the next document succeeds");
	is_str(kgw_canonical_problem(workspace), "", "... without a problem");
	is_int(kgw_canonical_run(workspace, NULL, 0, NULL),
		   KGW_CANONICAL_MALFORMED, "nothing at all is malformed");
	kgw_canonical_free(NULL);
	free(json);
}

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

/* Last, for it leaves the process without memory for a while. */
static void
test_no_memory(void)
{
#ifdef SANITIZED
	ok(true, "no memory # SKIP the sanitizer's own memory has no such limit");
#else
	char	   *json = long_string(KGW_CANONICAL_MAX_BYTES);
	struct rlimit limit;
	struct rlimit tight;
	KgwCanonicalStatus status;
	void	   *hoard = NULL;
	void	   *block;

	canonical("{}", NULL);
	getrlimit(RLIMIT_AS, &limit);
	tight = limit;
	tight.rlim_cur = 1;
	setrlimit(RLIMIT_AS, &tight);
	/* What earlier tests have freed is used up, block by block. */
	while ((block = malloc(KGW_CANONICAL_KEEP_BYTES)) != NULL)
	{
		*(void **) block = hoard;
		hoard = block;
	}
	status = kgw_canonical_run(workspace, json, KGW_CANONICAL_MAX_BYTES, NULL);
	setrlimit(RLIMIT_AS, &limit);
	while ((block = hoard) != NULL)
	{
		hoard = *(void **) block;
		free(block);
	}
	is_int(status, KGW_CANONICAL_NO_MEMORY, "no memory");
	is_str(kgw_canonical_problem(workspace), "out of memory",
		   "... and told so");
	is_int(kgw_canonical_run(workspace, json, KGW_CANONICAL_MAX_BYTES, NULL),
		   KGW_CANONICAL_OK, "with memory it succeeds again");
	free(json);
#endif
}

int
main(void)
{
	workspace = kgw_canonical_new();
	test_samples();
	test_malformed();
	test_bad_unicode();
	test_duplicates();
	test_inexact();
	test_depth();
	test_size();
	test_many_members();
	test_members();
	test_timestamp();
	test_signature();
	test_seal();
	test_seal_largest();
	test_workspace();
	test_no_memory();
	kgw_canonical_free(workspace);
	return done_testing();
}
