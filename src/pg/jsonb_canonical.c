/*-------------------------------------------------------------------------
 *
 * jsonb_canonical.c
 *	  jsonb to canonical form, with PostgreSQL's errors.
 *
 * The canonicalizer is a pure part that reads UTF-8 text and reports a status;
 * this is the little that binds it to a backend: one workspace a process, jsonb
 * as its text, and which SQLSTATE a status is.
 *
 * src/pg/jsonb_canonical.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "pg/encoding.h"
#include "pg/jsonb_canonical.h"

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

/*
 * The document as UTF-8 text, palloc'd; NULL when it cannot be canonicalized for
 * what "weight" then says, which was begun with the limit of its bytes.
 */
const char *
kgw_jsonb_canonical_text(Jsonb *jsonb, KgwWeight *weight, size_t *len)
{
	const char *text;

	if (!kgw_value_weight_jsonb(weight, jsonb))
		return NULL;
	text = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));

	*len = strlen(text);
	text = kgw_encoding_to_wire(text, len);
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
