/*-------------------------------------------------------------------------
 *
 * test_canonical.c
 *	  Canonical JSON: samples of RFC 8785, every refusal and every cap.
 *
 * Thousands of random documents are compared with a JCS library by
 * test/receivers/compare_canonical.mjs.
 *
 * test/unit/test_canonical.c
 *
 *-------------------------------------------------------------------------
 */
#include "tap.h"
#include "workspace.h"

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
		"\"\\U0041\"", "\"\n\"", "\"\x01\"", "\"abcdefgh\x1f\"",
		"\"abc\x1f defghijklmno\"", "'a'", "[",
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
		ok(strncmp(kgw_jcs_problem(workspace),
				   "malformed JSON: ", 16) == 0, "... and says so");
	}
	is_int(run("1\0", 2, NULL), KGW_CANONICAL_MALFORMED, "a NUL ends nothing");
	is_str(canonical("{\"a\" 1}", NULL),
		   "malformed JSON: no colon after a member name at byte 6",
		   "the byte is counted from 1");
	is_str(kgw_jcs_hint(workspace), "", "... and there is no hint");
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
		"\"\\ud83d\\ud83d\"", "\"\\ude02\\ude02\"", "\"\\ud83d\\ue000\"",
		"\"\\ude02\\ud83d\"", "\"\\ud83dx\"",
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
		is_int(run_string(table[i][0], NULL), KGW_CANONICAL_DUPLICATE,
			   "... is refused");
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
	is_str(kgw_jcs_hint(workspace), "Send it as a string.",
		   "... with a hint");
	is_str(kgw_jcs_problem(workspace),
		   "number 1e400 at the top level cannot be held exactly by a double",
		   "... and its place");
	is_str(canonical("{\"order_data\":{\"b\":[],\"total\":9007199254740993}}",
					 NULL),
		   "number 9007199254740993 at /order_data/total "
		   "cannot be held exactly by a double", "a pointer to a member");
	is_str(canonical("[[1,2],[{\"a\":1},{\"b\":[0,1e999]}]]", NULL),
		   "number 1e999 at /1/1/b/1 cannot be held exactly by a double",
		   "a pointer through arrays");
	is_str(canonical("{\"a/b\":{\"c~d\":{\"e\\n\\u007f\\u0085\\u00e9\":"
					 "1e999}}}", NULL),
		   "number 1e999 at /a~1b/c~0d/e\\n\\u007f\\u0085\xc3\xa9 "
		   "cannot be held exactly by a double",
		   "a pointer escapes what it has to");

	memset(json, '9', 100);
	strcpy(json + 100, "");
	is_str(canonical(json, NULL),
		   "number 9999999999999999999999999999999999999999... at the top "
		   "level cannot be held exactly by a double",
		   "a long number is cut after 40 digits");

	/* two-byte letters; "/xy" makes the cap fall inside of one */
	strcpy(json, "{\"xy");
	for (problem = json + 303; strlen(json) < (size_t) (problem - json);)
		strcat(json, "\xc3\xa9");
	strcat(json, "\":{\"deeper\":1e999}}");
	problem = canonical(json, NULL);
	ok(strlen(problem) < 400 &&
	   strstr(problem, "\xc3\xa9... cannot be held") != NULL,
	   "a long pointer is cut between characters");
	is_int(strstr(problem, "...") - strstr(problem, "/xy"), 199,
		   "... before the 200th byte");
}

/* Puts "core" between so many "open" and so many "close". */
static KgwJcsStatus
run_nested(int depth, const char *open, const char *close, const char *core)
{
	size_t		open_len = strlen(open);
	size_t		close_len = strlen(close);
	char	   *json = malloc(depth * (open_len + close_len) + strlen(core) + 1);
	char	   *p = json;
	KgwJcsStatus status;
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
	is_str(kgw_jcs_problem(workspace),
		   "more than 512 arrays and objects inside each other",
		   "... and told why");
	is_int(run_nested(512, "{\"b\":", ",\"a\":1}", "2"), KGW_CANONICAL_OK,
		   "512 objects inside each other, all out of order");
	ok(strncmp(kgw_jcs_text(workspace, &len),
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

static void
test_size(void)
{
	char	   *json = long_string(KGW_CANONICAL_MAX_BYTES + 1);
	size_t		len;
	size_t		i;

	is_int(kgw_jcs_run(workspace, json, KGW_CANONICAL_MAX_BYTES + 1,
							 NULL), KGW_CANONICAL_TOO_LARGE,
		   "a text of more than a megabyte is refused");
	is_str(kgw_jcs_problem(workspace), "longer than 1048576 bytes",
		   "... and told why");
	is_int(kgw_jcs_run(workspace, json, SIZE_MAX, NULL),
		   KGW_CANONICAL_TOO_LARGE, "... whatever the length");
	json[KGW_CANONICAL_MAX_BYTES - 1] = '"';
	is_int(kgw_jcs_run(workspace, json, KGW_CANONICAL_MAX_BYTES, NULL),
		   KGW_CANONICAL_OK, "a megabyte is accepted");
	kgw_jcs_text(workspace, &len);
	is_int(len, KGW_CANONICAL_MAX_BYTES, "... as it is");

	/* 1e20 is four bytes that become 21 */
	for (i = 0; i < KGW_CANONICAL_MAX_BYTES; i++)
		json[i] = "1e20,"[i % 5];
	json[0] = '[';
	json[1] = '1';
	json[2] = '\n';
	json[3] = ' ';
	json[199999] = ']';
	is_int(kgw_jcs_run(workspace, json, 200000, NULL), KGW_CANONICAL_OK,
		   "a text that grows by a factor of four");
	kgw_jcs_text(workspace, &len);
	is_int(len, 2 + 1 + 39999 * 22, "... to its full length");
	json[199999] = ',';
	json[299999] = ']';
	is_int(kgw_jcs_run(workspace, json, 300000, NULL),
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
	is_int(kgw_jcs_run(workspace, json, p - json, NULL),
		   KGW_CANONICAL_OK, "%d members in reverse", N);
	text = kgw_jcs_text(workspace, &len);
	is_int(len, p - json, "... keep their length");
	for (i = 0; i < N; i++)
		sorted = sorted && atoi(text + 2 + i * 11) == i;
	ok(sorted, "... and are in order");

	/* another digit makes the first equal to the last */
	memcpy(json + 2, "000000", 6);
	is_int(kgw_jcs_run(workspace, json, p - json, NULL),
		   KGW_CANONICAL_DUPLICATE, "two among them that are equal");
	free(json);
}

int
main(void)
{
	workspace = kgw_jcs_new();
	test_samples();
	test_malformed();
	test_bad_unicode();
	test_duplicates();
	test_inexact();
	test_depth();
	test_size();
	test_many_members();
	kgw_jcs_free(workspace);
	return done_testing();
}
