/*-------------------------------------------------------------------------
 *
 * jsonb_canonical.c
 *	  jsonb to canonical form, with PostgreSQL's errors.
 *
 * The canonicalizer is a pure part that reads UTF-8 text and reports a status;
 * this is the little that binds it to a backend: one workspace a process, jsonb
 * as its text, and which SQLSTATE a status is.
 *
 * PostgreSQL's JsonbToCString() looks at each character by itself, and has to be preceded by a
 * walk that weighs the document, or a small one could have a text of a gigabyte
 * (value_weight.c).  Each delivery's payload is written once when it is read, so here both
 * are one walk, and what needs no escape is copied as it is.
 *
 * src/pg/jsonb_canonical.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/fmgrprotos.h"

#include "pg/encoding.h"
#include "pg/jsonb_canonical.h"
#include "pure/jcs/string.h"

/* This process's workspace, kept for its lifetime. */
KgwJcs *
kgw_jsonb_canonical_workspace(void)
{
	static KgwJcs *workspace = NULL;

	if (workspace == NULL)
		workspace = kgw_jcs_new();
	if (workspace == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return workspace;
}

/* Append a string with its quotes; in canonical form when it is valid UTF-8. */
void
kgw_jsonb_canonical_string(StringInfo out, const char *text, int len)
{
	const char *end = text + len;
	const char *run = text;		/* what is copied as it is */
	char		escape[8];

	appendStringInfoCharMacro(out, '"');
	for (const char *p = text; (p = kgw_jcs_string_skip_plain(p, end)) < end; p++)
	{
		if ((unsigned char) *p >= 0x80)
			continue;
		appendBinaryStringInfo(out, run, p - run);
		appendBinaryStringInfo(out, escape, kgw_jcs_string_escape(escape, (unsigned char) *p));
		run = p + 1;
	}
	appendBinaryStringInfo(out, run, end - run);
	appendStringInfoCharMacro(out, '"');
}

static void
append_scalar(StringInfo out, const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			appendBinaryStringInfo(out, "null", 4);
			break;
		case jbvString:
			kgw_jsonb_canonical_string(out, value->val.string.val, value->val.string.len);
			break;
		case jbvNumeric:
			appendStringInfoString(out, DatumGetCString(DirectFunctionCall1(numeric_out,
																			NumericGetDatum(value->val.numeric))));
			break;
		case jbvBool:
			if (value->val.boolean)
				appendBinaryStringInfo(out, "true", 4);
			else
				appendBinaryStringInfo(out, "false", 5);
			break;
		default:
			elog(ERROR, "unknown jsonb scalar type: %d", (int) value->type);
	}
}

/* Where the walk is. */
typedef struct KgwJsonbWalk
{
	StringInfo	out;
	KgwWeight  *weight;
	int			depth;
	bool		more;			/* a comma comes before the next */
} KgwJsonbWalk;

static void
append_comma(KgwJsonbWalk *walk)
{
	if (walk->more)
		appendStringInfoCharMacro(walk->out, ',');
	walk->more = false;
}

/* One step; false when the document is too much. */
static bool
append_token(KgwJsonbWalk *walk, JsonbIteratorToken token, const JsonbValue *value)
{
	switch (token)
	{
		case WJB_BEGIN_ARRAY:
		case WJB_BEGIN_OBJECT:
			if (token == WJB_BEGIN_ARRAY && value->val.array.rawScalar)
				return true;
			append_comma(walk);
			appendStringInfoCharMacro(walk->out, token == WJB_BEGIN_ARRAY ? '[' : '{');
			return kgw_value_weight_enter(walk->weight, ++walk->depth);
		case WJB_END_ARRAY:
		case WJB_END_OBJECT:
			if (walk->depth == 0)
				return true;	/* of a scalar by itself, which jsonb keeps in an array */
			walk->depth--;
			appendStringInfoCharMacro(walk->out, token == WJB_END_ARRAY ? ']' : '}');
			walk->more = true;
			return true;
		case WJB_KEY:
			append_comma(walk);
			kgw_jsonb_canonical_string(walk->out, value->val.string.val, value->val.string.len);
			appendStringInfoCharMacro(walk->out, ':');
			return kgw_value_weight_scalar(walk->weight, value);
		default:
			if (!kgw_value_weight_scalar(walk->weight, value))
				return false;
			append_comma(walk);
			append_scalar(walk->out, value);
			walk->more = true;
			return true;
	}
}

/*
 * Append the document's text, in the database's encoding.  False when it cannot be sent, for
 * what "weight" then says, which was begun with the limit of its bytes; what has been
 * appended by then is of no use.  Scratch memory is the current context's.
 */
bool
kgw_jsonb_canonical_append(StringInfo out, Jsonb *jsonb, KgwWeight *weight)
{
	KgwJsonbWalk walk = {.out = out, .weight = weight};
	JsonbIterator *it = JsonbIteratorInit(&jsonb->root);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		if (!append_token(&walk, token, &value))
			return false;
	}
	return true;
}

/*
 * The document as UTF-8 text, palloc'd; NULL when it cannot be canonicalized for
 * what "weight" then says, which was begun with the limit of its bytes.
 */
const char *
kgw_jsonb_canonical_text(Jsonb *jsonb, KgwWeight *weight, size_t *len)
{
	StringInfoData own;
	const char *text;

	initStringInfo(&own);
	if (!kgw_jsonb_canonical_append(&own, jsonb, weight))
		return NULL;
	*len = own.len;
	text = kgw_encoding_to_wire(own.data, len);
	if (text == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
				 errmsg("document has no UTF-8 form"),
				 errdetail("The database's encoding is %s.", GetDatabaseEncodingName()),
				 errhint("Use a database with the encoding UTF8.")));
	return text;
}

/* The SQLSTATE for a status that isn't KGW_CANONICAL_OK. */
int
kgw_jsonb_canonical_errcode(KgwJcsStatus status)
{
	switch (status)
	{
		case KGW_CANONICAL_INEXACT_NUMBER:
			return ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE;
		case KGW_CANONICAL_TOO_DEEP:
		case KGW_CANONICAL_TOO_LARGE:
			return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		case KGW_CANONICAL_NO_MEMORY:
			return ERRCODE_OUT_OF_MEMORY;
		case KGW_CANONICAL_DUPLICATE:
			return ERRCODE_DUPLICATE_JSON_OBJECT_KEY_VALUE;
		case KGW_CANONICAL_NOT_OBJECT:
			return ERRCODE_INVALID_PARAMETER_VALUE;
		default:
			return ERRCODE_INVALID_JSON_TEXT;
	}
}

/* A problem as a sentence for errdetail. */
char *
kgw_jsonb_canonical_sentence(const char *problem)
{
	char	   *sentence = psprintf("%s.", problem);

	sentence[0] = pg_toupper((unsigned char) sentence[0]);
	return sentence;
}

/* What keeps the document from being canonical, as a sentence for errdetail. */
const char *
kgw_jsonb_canonical_detail(const KgwJcs *canonical)
{
	return kgw_jsonb_canonical_sentence(kgw_jcs_problem(canonical));
}
