/*-------------------------------------------------------------------------
 *
 * document.c
 *	  jsonb to canonical form, with PostgreSQL's errors.
 *
 * The canonicaliser is a pure part that reads UTF-8 text and reports a status;
 * this is the little that binds it to a backend: one workspace a process, jsonb
 * as its text, and which SQLSTATE a status is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "domain/document.h"
#include "services/text.h"

/* This process's workspace, kept for its lifetime. */
KgwCanonical *
kgw_document_workspace(void)
{
	static KgwCanonical *workspace = NULL;

	if (workspace == NULL)
		workspace = kgw_canonical_new();
	if (workspace == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return workspace;
}

/*
 * The document as UTF-8 text, palloc'd; NULL when it can't be canonicalized for
 * what "weight" then says, which was begun with the limit of its bytes.
 */
const char *
kgw_document_text(Jsonb *jsonb, KgwWeight *weight, size_t *len)
{
	const char *text;

	if (!kgw_weigh_jsonb(weight, jsonb))
		return NULL;
	text = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));

	*len = strlen(text);
	text = kgw_text_to_wire(text, len);
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
kgw_document_errcode(KgwCanonicalStatus status)
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
kgw_document_sentence(const char *problem)
{
	char	   *sentence = psprintf("%s.", problem);

	sentence[0] = pg_toupper((unsigned char) sentence[0]);
	return sentence;
}

/* What keeps the document from being canonical, as a sentence for errdetail. */
const char *
kgw_document_detail(const KgwCanonical *canonical)
{
	return kgw_document_sentence(kgw_canonical_problem(canonical));
}
