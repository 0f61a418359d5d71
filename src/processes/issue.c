/*-------------------------------------------------------------------------
 *
 * issue.c
 *	  kg_create_secret() and kg_set_secret(): giving an organisation a signing
 *	  secret.
 *
 * A secret that is made here is returned this once, over the caller's own
 * connection, and can't be read back by any function.  One that is passed in
 * has already been through the server's log, if statements are logged; that is
 * the reason to prefer the first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "pure/signature.h"
#include "services/secrets.h"

PG_FUNCTION_INFO_V1(kg_create_secret);
PG_FUNCTION_INFO_V1(kg_set_secret);

/* Longer ones than this are no secrets but mistakes. */
#define SECRET_MAX 512

/* Fewer characters than this can be guessed (Standard Webhooks: 24 bytes). */
#define SECRET_GOOD 24

/*
 * A text argument.  NULL is refused and not passed over: who believes that a
 * secret was installed finds out days later, when nothing has been delivered.
 */
static text *
require_text(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
	return PG_GETARG_TEXT_PP(n);
}

static text *
org_id_argument(FunctionCallInfo fcinfo)
{
	text	   *org_id = require_text(fcinfo, 0, "org_id");
	size_t		len = VARSIZE_ANY_EXHDR(org_id);

	if (len == 0 || len > KGW_ORG_ID_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("org_id is %s", len == 0 ? "empty" : "too long"),
				 errdetail("An organisation's identifier has 1 to %d bytes.", KGW_ORG_ID_MAX),
				 errhint("Give the value that the watched table's column has.")));
	return org_id;
}

static uint64
store(text *org_id, text *secret, const char *query)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		args[2];
	uint64		stored;

	args[0] = PointerGetDatum(org_id);
	args[1] = PointerGetDatum(secret);
	SPI_connect();
	if (SPI_execute_with_args(query, 2, types, args, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write kgwebhook.secret");
	stored = SPI_processed;
	SPI_finish();
	return stored;
}

/*
 * kg_create_secret(org_id text) -> text
 */
Datum
kg_create_secret(PG_FUNCTION_ARGS)
{
	text	   *org_id = org_id_argument(fcinfo);
	unsigned char random[KGW_SECRET_BYTES];
	char		secret[KGW_SECRET_SIZE];
	text	   *result;

	if (!pg_strong_random(random, sizeof(random)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not make a secret"),
				 errdetail("The source of random numbers failed.")));
	kgw_secret_format(random, secret);
	result = cstring_to_text(secret);
	OPENSSL_cleanse(random, sizeof(random));
	OPENSSL_cleanse(secret, sizeof(secret));
	if (store(org_id, result,
			  "INSERT INTO kgwebhook.secret (org_id, secret) VALUES ($1, $2)"
			  " ON CONFLICT (org_id) DO NOTHING") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("organisation \"%s\" has a secret already", text_to_cstring(org_id)),
				 errdetail("A secret is shown only once, when it is made."),
				 errhint("Install another one in its place with kg_set_secret().")));
	PG_RETURN_TEXT_P(result);
}

/*
 * kg_set_secret(org_id text, secret text)
 */
Datum
kg_set_secret(PG_FUNCTION_ARGS)
{
	text	   *org_id = org_id_argument(fcinfo);
	text	   *secret = require_text(fcinfo, 1, "secret");
	size_t		len = VARSIZE_ANY_EXHDR(secret);

	if (len == 0 || len > SECRET_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("secret is %s", len == 0 ? "empty" : "too long"),
				 errdetail("A secret has 1 to %d bytes.", SECRET_MAX),
				 errhint("Use kg_create_secret() to have one made.")));
	if (len < SECRET_GOOD)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("secret is short"),
				 errdetail("It has %zu bytes; fewer than %d can be guessed.", len, SECRET_GOOD),
				 errhint("Use kg_create_secret() to have one made.")));
	store(org_id, secret,
		  "INSERT INTO kgwebhook.secret (org_id, secret) VALUES ($1, $2)"
		  " ON CONFLICT (org_id) DO UPDATE SET secret = excluded.secret,"
		  " created_at = pg_catalog.now()");
	PG_RETURN_VOID();
}
