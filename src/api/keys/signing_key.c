/*-------------------------------------------------------------------------
 *
 * signing_key.c
 *	  kgwebhook.add_signing_key(): a new key for signatures that need no shared
 *	  secret.
 *
 * The private half is made here and written to its table, encrypted when secrets are, and
 * is never seen: neither by the caller, who gets the public half, nor by a log.  What
 * is to become of the organization's other key is no secret, and decided in SQL
 * (install/signing_keys.sql).
 *
 * src/api/keys/signing_key.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "api/arguments.h"
#include "api/keys/secrets.h"
#include "pure/ed25519/signing_key.h"
#include "secrets/key_file.h"
#include "secrets/statement_redaction.h"

PG_FUNCTION_INFO_V1(kg_add_signing_key);

static void
make_key_pair(char private_text[KGW_SIGNING_KEY_PRIVATE_SIZE],
		 char public_text[KGW_SIGNING_KEY_PUBLIC_SIZE])
{
	unsigned char seed[KGW_SIGNING_KEY_SEED];
	bool		made = pg_strong_random(seed, sizeof(seed)) &&
		kgw_signing_key_make(seed, private_text, public_text);

	explicit_bzero(seed, sizeof(seed));
	if (!made)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not make a signing key"),
				 errdetail("The source of random numbers failed, or OpenSSL has no Ed25519.")));
}

static void
store_key(text *org_id, text *private_key, const char *public_text, Datum activates_at)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, BOOLOID};
	char		key_id[KGW_SIGNING_KEY_ID_SIZE];
	Datum		args[6];

	if (!kgw_signing_key_describe(public_text, strlen(public_text), key_id))
		elog(ERROR, "could not name a signing key");
	args[0] = CStringGetTextDatum(key_id);
	args[1] = PointerGetDatum(org_id);
	args[2] = CStringGetTextDatum(public_text);
	args[3] = PointerGetDatum(kgw_secrets_as_kept(org_id, private_key));
	args[4] = activates_at;
	args[5] = BoolGetDatum(kgw_key_file_set());
	SPI_connect();
	if (SPI_execute_with_args("INSERT INTO kgwebhook.signing_key"
							  " (key_id, org_id, public_key, private_key, activates_at, encrypted)"
							  " VALUES ($1, $2, $3, $4, $5, $6)",
							  6, types, args, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write kgwebhook.signing_key");
	SPI_finish();
}

/*
 * kgwebhook.add_signing_key(org_id text, activates_at timestamptz) -> text
 */
Datum
kg_add_signing_key(PG_FUNCTION_ARGS)
{
	text	   *org_id = kgw_arguments_org_id(fcinfo, 0);
	char		private_text[KGW_SIGNING_KEY_PRIVATE_SIZE];
	char		public_text[KGW_SIGNING_KEY_PUBLIC_SIZE];
	text	   *private_key;
	KgwDiscretion discretion;

	make_key_pair(private_text, public_text);
	private_key = cstring_to_text(private_text);
	explicit_bzero(private_text, sizeof(private_text));
	kgw_statement_redaction_begin(&discretion, NULL);
	store_key(org_id, private_key, public_text, PG_GETARG_DATUM(1));
	kgw_statement_redaction_end(&discretion);
	explicit_bzero(VARDATA_ANY(private_key), VARSIZE_ANY_EXHDR(private_key));
	PG_RETURN_TEXT_P(cstring_to_text(public_text));
}
