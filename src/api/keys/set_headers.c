/*-------------------------------------------------------------------------
 *
 * set_headers.c
 *	  kg_set_headers(): the headers that a subscription's receiver wants besides ours.
 *
 * A receiver behind a gateway wants a token, a password or a tenant's name before it looks at
 * a signature.  Credentials are most of what is set here, so all values are kept as secrets
 * are: encrypted when these are, wiped after use, and never shown again.  Names are no secrets, and stand
 * with the subscription.
 *
 * They are a subscription's only.  An object's own URL may name another's host, which would get
 * credentials that are not meant for it.
 *
 * What would be refused when it is sent is refused here; pure/request_headers.c says what.  No
 * error repeats a value, nor a name that could be one in the wrong place.
 *
 * src/api/keys/set_headers.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/evp.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "api/arguments.h"
#include "api/keys/secrets.h"
#include "pure/request_headers.h"
#include "secrets/key_file.h"
#include "secrets/statement_redaction.h"

PG_FUNCTION_INFO_V1(kg_set_headers);

/* The arguments, from 0. */
enum
{
	SUBSCRIPTION, HEADERS, USERNAME, PASSWORD, BEARER_TOKEN
};

/* What has been collected; the lines are wiped when they have been kept. */
typedef struct KgwHeaderSet
{
	StringInfoData lines;		/* "name: value\n" each */
	Datum		names[KGW_REQUEST_HEADERS_MAX];
	int			count;
} KgwHeaderSet;

static void
refuse(const char *name, size_t len, const char *fault)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 kgw_request_headers_is_token(name, len) ?
			 errmsg("header \"%.*s\" cannot be set", (int) Min(len, 100), name) :
			 errmsg("a header cannot be set"),
			 errdetail_internal("%s", fault),
			 errhint("Map names to values, as in {\"X-Api-Key\": \"...\"}.")));
}

/* A name is the same in whatever case. */
static bool
is_given(const KgwHeaderSet *set, const char *name, size_t len)
{
	for (int i = 0; i < set->count; i++)
	{
		text	   *other = DatumGetTextPP(set->names[i]);

		if (VARSIZE_ANY_EXHDR(other) == len && pg_strncasecmp(VARDATA_ANY(other), name, len) == 0)
			return true;
	}
	return false;
}

static void
add_header(KgwHeaderSet *set, const char *name, size_t name_len, const char *value, size_t value_len)
{
	const char *fault = kgw_request_headers_judge_name(name, name_len);

	if (fault == NULL)
		fault = kgw_request_headers_judge_value(value, value_len);
	if (fault == NULL && is_given(set, name, name_len))
		fault = "It is given twice.";
	if (fault != NULL)
		refuse(name, name_len, fault);
	if (set->count == KGW_REQUEST_HEADERS_MAX ||
		set->lines.len + name_len + value_len + 3 > KGW_REQUEST_HEADERS_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many headers, or too long ones"),
				 errdetail("A subscription has %d headers at most, of %d bytes in all.",
						   KGW_REQUEST_HEADERS_MAX, KGW_REQUEST_HEADERS_BYTES)));
	set->names[set->count++] = PointerGetDatum(cstring_to_text_with_len(name, name_len));
	appendBinaryStringInfo(&set->lines, name, name_len);
	appendStringInfoString(&set->lines, ": ");
	appendBinaryStringInfo(&set->lines, value, value_len);
	appendStringInfoChar(&set->lines, '\n');
}

static void
add_object(KgwHeaderSet *set, Jsonb *headers)
{
	JsonbIterator *it = JsonbIteratorInit(&headers->root);
	JsonbIteratorToken token;
	JsonbValue	name = {0};
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(headers))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("headers is not an object"),
				 errhint("Map names to values, as in {\"X-Api-Key\": \"...\"}.")));
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = value;
		if (token != WJB_VALUE)
			continue;
		if (value.type != jbvString)
			refuse(name.val.string.val, name.val.string.len, "The value is not a string.");
		add_header(set, name.val.string.val, name.val.string.len, value.val.string.val, value.val.string.len);
	}
}

/* An argument in UTF-8, in which there is nothing that credentials may not have; NULL: it is null. */
static char *
credential(FunctionCallInfo fcinfo, int n, const char *name)
{
	char	   *value = PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));

	if (value == NULL)
		return NULL;
	if (strlen(value) > KGW_REQUEST_HEADERS_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is too long", name),
				 errdetail("A subscription has %d headers at most, of %d bytes in all.",
						   KGW_REQUEST_HEADERS_MAX, KGW_REQUEST_HEADERS_BYTES)));
	for (const char *c = value; *c != '\0'; c++)
	{
		if ((unsigned char) *c < ' ' || *c == 0x7f || (n == USERNAME && *c == ':') ||
			(n == BEARER_TOKEN && (*c == ' ' || IS_HIGHBIT_SET(*c))))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s has a character that it cannot have", name),
					 errdetail("Control characters, a colon in a user name, and in a token blanks and"
							   " what is not ASCII cannot be sent.")));
	}
	return pg_server_to_any(value, strlen(value), PG_UTF8);
}

/* Authorization by RFC 7617. */
static void
add_basic(KgwHeaderSet *set, const char *username, const char *password)
{
	char	   *pair = psprintf("%s:%s", username, password);
	size_t		len = strlen(pair);
	char	   *value = palloc(6 + 4 * ((len + 2) / 3) + 1);

	memcpy(value, "Basic ", 6);
	EVP_EncodeBlock((unsigned char *) value + 6, (unsigned char *) pair, (int) len);
	explicit_bzero(pair, len);
	add_header(set, "Authorization", 13, value, strlen(value));
	explicit_bzero(value, strlen(value));
}

static void
add_credentials(FunctionCallInfo fcinfo, KgwHeaderSet *set)
{
	char	   *username = credential(fcinfo, USERNAME, "username");
	char	   *password = credential(fcinfo, PASSWORD, "password");
	char	   *token = credential(fcinfo, BEARER_TOKEN, "bearer_token");

	if ((username == NULL) != (password == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("username and password go together"),
				 errhint("Give both, or neither; an empty password is one, too.")));
	if (username != NULL)
		add_basic(set, username, password);
	if (token != NULL && token[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("bearer_token is empty"),
				 errhint("Omit it if there is none.")));
	if (token != NULL)
	{
		char	   *value = psprintf("Bearer %s", token);

		add_header(set, "Authorization", 13, value, strlen(value));
		explicit_bzero(value, strlen(value));
	}
}

/* Write down what the subscription, which is locked, has from now on: nothing if the set is empty. */
static void
keep_headers(const KgwSecretOf *of, KgwHeaderSet *set)
{
	Oid			types[] = {TEXTOID, INT8OID, TEXTOID, BOOLOID, TEXTARRAYOID};
	text	   *lines = cstring_to_text_with_len(set->lines.data, set->lines.len);
	Datum		args[5];
	char		nulls[] = "     ";
	static const char *const queries[] = {
		"DELETE FROM kgwebhook.request_header WHERE org_id OPERATOR(pg_catalog.=) $1"
		" AND subscription_id OPERATOR(pg_catalog.=) $2",
		"INSERT INTO kgwebhook.request_header (org_id, subscription_id, destination, lines, encrypted)"
		" SELECT s.org_id, s.subscription_id, s.destination, $3, $4 FROM kgwebhook.subscription s"
		" WHERE $5 IS NOT NULL AND s.subscription_id OPERATOR(pg_catalog.=) $2",
		"UPDATE kgwebhook.subscription SET header_names = $5 WHERE subscription_id OPERATOR(pg_catalog.=) $2"
	};

	args[0] = PointerGetDatum(of->org_id);
	args[1] = Int64GetDatum(of->subscription_id);
	args[2] = PointerGetDatum(set->count > 0 ? kgw_secrets_as_kept(of->org_id, lines) : lines);
	args[3] = BoolGetDatum(kgw_key_file_set());
	args[4] = (Datum) 0;
	if (set->count > 0)
		args[4] = PointerGetDatum(construct_array(set->names, set->count, TEXTOID, -1, false, TYPALIGN_INT));
	else
		nulls[4] = 'n';
	for (size_t i = 0; i < lengthof(queries); i++)
	{
		if (SPI_execute_with_args(queries[i], 5, types, args, nulls, false, 0) < 0)
			elog(ERROR, "could not write kgwebhook.request_header");
	}
	explicit_bzero(VARDATA_ANY(lines), VARSIZE_ANY_EXHDR(lines));
	explicit_bzero(set->lines.data, set->lines.len);
}

/*
 * kg_set_headers(subscription_id bigint, headers jsonb, username text, password text, bearer_token text)
 */
Datum
kg_set_headers(PG_FUNCTION_ARGS)
{
	KgwHeaderSet set = {.count = 0};
	KgwSecretOf of;
	KgwDiscretion discretion;

	/* first of all: an argument that is refused is in a statement with the others */
	kgw_statement_redaction_begin(&discretion, "SELECT kg_set_headers(...)");
	SPI_connect();
	kgw_secrets_find(fcinfo, true, &of);
	initStringInfo(&set.lines);
	enlargeStringInfo(&set.lines, KGW_REQUEST_HEADERS_BYTES);	/* so that no copy is left behind */
	if (!PG_ARGISNULL(HEADERS))
		add_object(&set, PG_GETARG_JSONB_P(HEADERS));
	add_credentials(fcinfo, &set);
	keep_headers(&of, &set);
	if (set.count > 0)
		kgw_secrets_warn_of_log("the headers' values", "Have the receiver accept others instead.");
	SPI_finish();
	kgw_statement_redaction_end(&discretion);
	PG_RETURN_VOID();
}
