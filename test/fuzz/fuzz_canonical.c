/*-------------------------------------------------------------------------
 *
 * fuzz_canonical.c
 *	  Fuzzes canonical JSON.
 *
 * What comes out is read by a second, naive reader (below), which knows only
 * the canonical form: no blanks, no escape that isn't needed, names in the
 * order of their UTF-16, numbers as they are printed.  And canonicalized again
 * it must stay the same.  A document is run in all four ways of changing its
 * members.
 *
 * test/fuzz/fuzz_canonical.c
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "pure/jcs/jcs.h"
#include "pure/jcs/number.h"

#define STAMP INT64_C(1700000000)

/* The naive reader. */
typedef struct Reader
{
	const char *at;
	const char *end;
	int			depth;
} Reader;

/* A name as UTF-16. */
typedef struct Name
{
	uint16_t   *units;
	size_t		n;
} Name;

static void read_value(Reader *r);

static void
expect(Reader *r, char c)
{
	MUST(r->at < r->end && *r->at == c);
	r->at++;
}

static int
hex_value(char c)
{
	MUST((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* The only escapes there are in canonical text. */
static uint32_t
read_escape(Reader *r)
{
	static const char letters[] = "\"\\bfnrt";
	static const char meanings[] = "\"\\\b\f\n\r\t";
	const char *letter;
	uint32_t	c;

	MUST(r->at < r->end);
	letter = memchr(letters, *r->at, sizeof(letters) - 1);
	if (letter != NULL)
	{
		r->at++;
		return (uint32_t) meanings[letter - letters];
	}
	MUST(r->end - r->at >= 5 && memcmp(r->at, "u00", 3) == 0);
	c = (uint32_t) (hex_value(r->at[3]) * 16 + hex_value(r->at[4]));
	MUST(c < 0x20 && memchr(meanings, (int) c, sizeof(meanings) - 1) == NULL);
	r->at += 5;
	return c;
}

static uint32_t
read_character(Reader *r)
{
	unsigned char lead = (unsigned char) *r->at++;
	int			more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
	uint32_t	c = more == 3 ? lead & 7 : more == 2 ? lead & 15 : more == 1 ? lead & 31 : lead;

	MUST(lead >= 0x20 && (lead < 0x80 || more > 0));
	if (lead == '\\')
		return read_escape(r);
	for (int i = 0; i < more; i++)
	{
		MUST(r->at < r->end && ((unsigned char) *r->at & 0xc0) == 0x80);
		c = c << 6 | ((unsigned char) *r->at++ & 0x3f);
	}
	MUST(more < 1 || c >= 0x80);
	MUST(more < 2 || (c >= 0x800 && (c < 0xd800 || c > 0xdfff)));
	MUST(more < 3 || (c >= 0x10000 && c <= 0x10ffff));
	return c;
}

/* Reads a string; its units are wanted when "name" is not NULL. */
static void
read_string(Reader *r, Name *name)
{
	expect(r, '"');
	if (name != NULL)
	{
		name->units = malloc((size_t) (r->end - r->at) * sizeof(uint16_t) + 1);
		name->n = 0;
		MUST(name->units != NULL);
	}
	for (;;)
	{
		uint32_t	c;

		MUST(r->at < r->end);
		if (*r->at == '"')
			break;
		c = read_character(r);
		if (name == NULL)
			continue;
		if (c >= 0x10000)
		{
			name->units[name->n++] = (uint16_t) (0xd800 + ((c - 0x10000) >> 10));
			c = 0xdc00 + (c & 0x3ff);
		}
		name->units[name->n++] = (uint16_t) c;
	}
	r->at++;
}

static int
compare_names(const Name *a, const Name *b)
{
	size_t		i;

	for (i = 0; i < a->n && i < b->n; i++)
	{
		if (a->units[i] != b->units[i])
			return a->units[i] < b->units[i] ? -1 : 1;
	}
	return (a->n > b->n) - (a->n < b->n);
}

static void
read_object(Reader *r)
{
	Name		last = {NULL, 0};
	Name		name;

	expect(r, '{');
	while (r->at < r->end && *r->at != '}')
	{
		if (last.units != NULL)
			expect(r, ',');
		read_string(r, &name);
		MUST(last.units == NULL || compare_names(&last, &name) < 0);
		free(last.units);
		last = name;
		expect(r, ':');
		read_value(r);
	}
	free(last.units);
	expect(r, '}');
}

static void
read_array(Reader *r)
{
	bool		first = true;

	expect(r, '[');
	while (r->at < r->end && *r->at != ']')
	{
		if (!first)
			expect(r, ',');
		first = false;
		read_value(r);
	}
	expect(r, ']');
}

static void
read_number(Reader *r)
{
	char		text[KGW_NUMBER_SIZE] = "";
	char		again[KGW_NUMBER_SIZE];
	size_t		n = 0;
	char	   *end;

	while (r->at < r->end && n < sizeof(text) - 1 && strchr("+-.0123456789e", *r->at) != NULL)
		text[n++] = *r->at++;
	MUST(n > 0);
	kgw_jcs_number_format(strtod(text, &end), again);
	MUST(*end == '\0' && strcmp(text, again) == 0);
}

static void
read_word(Reader *r, const char *word)
{
	for (; *word != '\0'; word++)
		expect(r, *word);
}

static void
read_value(Reader *r)
{
	MUST(r->at < r->end);
	MUST(++r->depth <= KGW_CANONICAL_MAX_DEPTH + 1);
	switch (*r->at)
	{
		case '{':
			read_object(r);
			break;
		case '[':
			read_array(r);
			break;
		case '"':
			read_string(r, NULL);
			break;
		case 't':
			read_word(r, "true");
			break;
		case 'f':
			read_word(r, "false");
			break;
		case 'n':
			read_word(r, "null");
			break;
		default:
			read_number(r);
	}
	r->depth--;
}

/* Valid UTF-8 without control characters, and not long. */
static void
check_sentence(const char *text)
{
	size_t		len = strlen(text);
	char	   *quoted = malloc(len + 3);
	Reader		r = {quoted, quoted + len + 2, 0};
	size_t		i;

	MUST(quoted != NULL && len < 400);
	snprintf(quoted, len + 3, "\"%s\"", text);
	for (i = 1; i <= len; i++)
	{
		if (quoted[i] == '"' || quoted[i] == '\\')
			quoted[i] = '.';
	}
	read_string(&r, NULL);
	MUST(r.at == r.end);
	free(quoted);
}

static void
check_text(const char *text, size_t len, const KgwMembers *members)
{
	static KgwJcs *second;
	Reader		r = {text, text + len, 0};
	const char *again;
	const char *signature;
	size_t		again_len;
	int64_t		stamp;

	MUST(len <= KGW_CANONICAL_MAX_BYTES && text[len] == '\0');
	read_value(&r);
	MUST(r.at == r.end);

	if (second == NULL)
		second = kgw_jcs_new();
	MUST(kgw_jcs_run(second, text, len, NULL) == KGW_CANONICAL_OK);
	again = kgw_jcs_text(second, &again_len);
	MUST(again_len == len && memcmp(again, text, len) == 0);
	if (members == NULL)
		return;
	MUST(text[0] == '{');
	if (members->stamp)
		MUST(kgw_jcs_timestamp(second, &stamp) && stamp == STAMP);
	if (members->drop_signature)
		MUST(!kgw_jcs_signature(second, &signature, &again_len));
}

static KgwJcsStatus
run(const char *json, size_t len, const KgwMembers *members)
{
	static KgwJcs *first;
	KgwJcsStatus status;
	const char *text;

	if (first == NULL)
		first = kgw_jcs_new();
	status = kgw_jcs_run(first, json, len, members);
	check_sentence(kgw_jcs_hint(first));
	check_sentence(kgw_jcs_problem(first));
	MUST((kgw_jcs_problem(first)[0] == '\0') == (status == KGW_CANONICAL_OK));
	if (status != KGW_CANONICAL_OK)
	{
		MUST(kgw_jcs_seal(first, NULL, &len) == NULL);
		return status;
	}
	text = kgw_jcs_text(first, &len);
	check_text(text, len, members);
	return status;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const KgwMembers stamped = {.stamp = true, .timestamp = STAMP};
	static const KgwMembers dropped = {.drop_signature = true};
	static const KgwMembers both = {.stamp = true, .timestamp = STAMP, .drop_signature = true};
	const char *json = (const char *) data;
	KgwJcsStatus plain = run(json, size, NULL);

	/* changing members makes nothing well formed that isn't */
	if (plain == KGW_CANONICAL_MALFORMED || plain == KGW_CANONICAL_BAD_UNICODE)
	{
		MUST(run(json, size, &stamped) == plain || plain == KGW_CANONICAL_BAD_UNICODE);
		MUST(run(json, size, &dropped) != KGW_CANONICAL_OK);
		MUST(run(json, size, &both) != KGW_CANONICAL_OK);
		return 0;
	}
	run(json, size, &stamped);
	run(json, size, &dropped);
	run(json, size, &both);
	return 0;
}
