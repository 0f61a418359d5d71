/*-------------------------------------------------------------------------
 *
 * canonical_payload.c
 *	  A payload's canonical text, made straight from jsonb.
 *
 * The canonicalizer reads any JSON text.  jsonb needs less: it has been parsed, no name is
 * there twice, its text is valid; what is left is to order the members (RFC 8785, section
 * 3.2.3), and to write numbers and escapes in their one form.  So the payload of an ordinary
 * event is canonical once it is read, and for each of its attempts only the second is put in
 * (kgw_jcs_stamp()), where else its text would be parsed and ordered again.
 *
 * Whatever is not ordinary is left to the canonicalizer, which also says what is wrong with it:
 * names beyond ASCII or with escapes, whose order is another than that of their bytes; numbers that
 * a double cannot hold; a "timestamp" or "signature" that has to go; depth and size; another
 * encoding than UTF-8.  In builds with assertions it is asked of everything, and has to agree.
 *
 * src/queue/canonical_payload.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"
#include "utils/fmgrprotos.h"

#include "pg/jsonb_canonical.h"
#include "pure/jcs/number.h"
#include "pure/jcs/string.h"
#include "queue/canonical_payload.h"

/* What is deeper or longer, or an array or object with more members, is not ordinary. */
#define DEPTH_MAX 32
#define MEMBERS_MAX 1000
#define BYTES_MAX (64 * 1024)

/* Up to so many members are sorted by insertion. */
#define INSERTION_MAX 40

#define TIMESTAMP "timestamp"
#define SIGNATURE "signature"

typedef struct KgwNamedValue
{
	uint64		beginning;		/* of the name, so that it sorts as the name does */
	const char *name;
	int			len;
	JsonbValue	value;
} KgwNamedValue;

/* Where the text goes, and what it weighs. */
typedef struct KgwPayloadText
{
	StringInfo	out;
	KgwWeight  *weight;
	Size		start;			/* of the text, in "out" */
	Size		stamp_at;		/* in the text: where "timestamp" belongs */
} KgwPayloadText;

static bool append_container(KgwPayloadText *text, JsonbContainer *container, int depth);

/* Whether a name is written as it is, and sorts by its bytes. */
static bool
name_is_plain(const char *name, int len)
{
	return kgw_jcs_string_skip_plain(name, name + len) == name + len;
}

static int
compare_names(const char *a, int a_len, const char *b, int b_len)
{
	int			order = memcmp(a, b, Min(a_len, b_len));

	return order != 0 ? order : a_len - b_len;
}

/* The first eight bytes of a plain name as a number; what is missing is less than any byte. */
static uint64
beginning_of(const char *name, int len)
{
	uint64		bytes = 0;

	memcpy(&bytes, name, Min(len, (int) sizeof(bytes)));
	return pg_ntoh64(bytes);
}

static inline bool
comes_before(const KgwNamedValue *a, const KgwNamedValue *b)
{
	if (a->beginning != b->beginning)
		return a->beginning < b->beginning;
	return compare_names(a->name, a->len, b->name, b->len) < 0;
}

static int
compare_named_values(const void *a, const void *b)
{
	const KgwNamedValue *x = *(KgwNamedValue *const *) a;
	const KgwNamedValue *y = *(KgwNamedValue *const *) b;

	return comes_before(x, y) ? -1 : comes_before(y, x) ? 1 : 0;
}

/* Names are few, and qsort()'s calls are what sorting them would cost. */
static void
order_members(KgwNamedValue **order, int count)
{
	if (count > INSERTION_MAX)
	{
		qsort(order, count, sizeof(KgwNamedValue *), compare_named_values);
		return;
	}
	for (int i = 1; i < count; i++)
	{
		KgwNamedValue *member = order[i];
		int			at = i;

		for (; at > 0 && comes_before(member, order[at - 1]); at--)
			order[at] = order[at - 1];
		order[at] = member;
	}
}

static bool
append_number(KgwPayloadText *text, Numeric number)
{
	char	   *digits = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
	char		canonical[KGW_NUMBER_SIZE];
	int			len = kgw_jcs_number_canonical(digits, strlen(digits), canonical);

	pfree(digits);
	if (len < 0)
		return false;
	appendBinaryStringInfo(text->out, canonical, len);
	return true;
}

/* False when the value is not ordinary. */
static bool
append_value(KgwPayloadText *text, const JsonbValue *value, int depth)
{
	if (value->type == jbvBinary)
		return append_container(text, value->val.binary.data, depth + 1);
	if (!kgw_value_weight_scalar(text->weight, value))
		return false;
	switch (value->type)
	{
		case jbvNull:
			appendBinaryStringInfo(text->out, "null", 4);
			return true;
		case jbvBool:
			appendStringInfoString(text->out, value->val.boolean ? "true" : "false");
			return true;
		case jbvNumeric:
			return append_number(text, value->val.numeric);
		case jbvString:
			if (pg_encoding_verifymbstr(PG_UTF8, value->val.string.val, value->val.string.len) !=
				value->val.string.len)
				return false;
			kgw_jsonb_canonical_string(text->out, value->val.string.val, value->val.string.len);
			return true;
		default:
			return false;
	}
}

static bool
append_array(KgwPayloadText *text, JsonbIterator **it, int depth)
{
	JsonbValue	element;
	bool		more = false;

	appendStringInfoCharMacro(text->out, '[');
	while (JsonbIteratorNext(it, &element, true) == WJB_ELEM)
	{
		if (more)
			appendStringInfoCharMacro(text->out, ',');
		more = true;
		if (!append_value(text, &element, depth))
			return false;
	}
	appendStringInfoCharMacro(text->out, ']');
	return true;
}

/* The members of an object, in their order; NULL when one is not ordinary. */
static KgwNamedValue **
read_members(KgwPayloadText *text, JsonbIterator **it, int count)
{
	KgwNamedValue **order = palloc(Max(count, 1) * (sizeof(KgwNamedValue *) + sizeof(KgwNamedValue)));
	KgwNamedValue *members = (KgwNamedValue *) (order + count);
	JsonbValue	name;

	for (int i = 0; i < count; i++)
	{
		(void) JsonbIteratorNext(it, &name, true);
		(void) JsonbIteratorNext(it, &members[i].value, true);
		if (!name_is_plain(name.val.string.val, name.val.string.len) ||
			!kgw_value_weight_scalar(text->weight, &name))
			return NULL;
		members[i].name = name.val.string.val;
		members[i].len = name.val.string.len;
		members[i].beginning = beginning_of(members[i].name, members[i].len);
		order[i] = &members[i];
	}
	/* leave the object, which frees the iterator */
	(void) JsonbIteratorNext(it, &name, true);
	order_members(order, count);
	return order;
}

/*
 * Of the outermost object: whether its "timestamp" or "signature" is in the way, and where the
 * former belongs.
 */
static bool
make_way(KgwPayloadText *text, const KgwNamedValue *member)
{
	int			order = compare_names(member->name, member->len, TIMESTAMP, strlen(TIMESTAMP));

	if (order == 0 || compare_names(member->name, member->len, SIGNATURE, strlen(SIGNATURE)) == 0)
		return false;
	if (order > 0 && text->stamp_at == 0)
		text->stamp_at = text->out->len - text->start;
	return true;
}

static bool
append_object(KgwPayloadText *text, JsonbIterator **it, int count, int depth)
{
	KgwNamedValue **members = read_members(text, it, count);

	if (members == NULL)
		return false;
	appendStringInfoCharMacro(text->out, '{');
	for (int i = 0; i < count; i++)
	{
		if (depth == 1 && !make_way(text, members[i]))
			return false;
		if (i > 0)
			appendStringInfoCharMacro(text->out, ',');
		kgw_jsonb_canonical_string(text->out, members[i]->name, members[i]->len);
		appendStringInfoCharMacro(text->out, ':');
		if (!append_value(text, &members[i]->value, depth))
			return false;
	}
	if (depth == 1 && text->stamp_at == 0)
		text->stamp_at = text->out->len - text->start;
	appendStringInfoCharMacro(text->out, '}');
	pfree(members);
	return true;
}

/* An array or object that is so deep, the outermost 1; false when it is not ordinary. */
static bool
append_container(KgwPayloadText *text, JsonbContainer *container, int depth)
{
	JsonbIterator *it;
	JsonbValue	whole;

	if (depth > DEPTH_MAX || !kgw_value_weight_enter(text->weight, depth) ||
		JsonContainerSize(container) > MEMBERS_MAX)
		return false;
	it = JsonbIteratorInit(container);
	if (JsonbIteratorNext(&it, &whole, true) == WJB_BEGIN_ARRAY)
		return append_array(text, &it, depth);
	return append_object(text, &it, whole.val.object.nPairs, depth);
}

#ifdef USE_ASSERT_CHECKING
/* The canonicalizer makes the same of the document's text, if it has the memory. */
static bool
canonicalizer_agrees(Jsonb *jsonb, const char *text, Size len)
{
	KgwJcs	   *workspace = kgw_jcs_new();
	KgwJcsStatus status = KGW_CANONICAL_NO_MEMORY;
	StringInfoData plain;
	KgwWeight	weight;
	const char *again;
	size_t		again_len;
	bool		same = true;

	initStringInfo(&plain);
	kgw_value_weight_begin(&weight, KGW_CANONICAL_MAX_BYTES);
	if (!kgw_jsonb_canonical_append(&plain, jsonb, &weight))
		same = false;
	else if (workspace != NULL)
		status = kgw_jcs_run(workspace, plain.data, plain.len, NULL);
	if (status == KGW_CANONICAL_OK)
	{
		again = kgw_jcs_text(workspace, &again_len);
		same = again_len == len && memcmp(again, text, len) == 0;
	}
	else if (status != KGW_CANONICAL_NO_MEMORY)
		same = false;
	kgw_jcs_free(workspace);
	return same;
}
#endif

/*
 * Append the canonical text of an object that has neither "timestamp" nor "signature", and
 * say where in this text the former belongs, as kgw_jcs_stamp() takes it; never 0.  0 when the
 * document is not an ordinary one; then nothing is appended.  Scratch memory is the current
 * context's.
 */
Size
kgw_canonical_payload_append(StringInfo out, Jsonb *jsonb)
{
	KgwWeight	weight;
	KgwPayloadText text = {.out = out, .weight = &weight, .start = out->len};

	if (GetDatabaseEncoding() != PG_UTF8 || !JB_ROOT_IS_OBJECT(jsonb))
		return 0;
	kgw_value_weight_begin(&weight, BYTES_MAX);
	if (!append_container(&text, &jsonb->root, 1))
	{
		out->len = text.start;
		return 0;
	}
	Assert(canonicalizer_agrees(jsonb, out->data + text.start, out->len - text.start));
	return text.stamp_at;
}
