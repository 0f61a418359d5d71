/*-------------------------------------------------------------------------
 *
 * secret_fingerprint.c
 *	  kg_fingerprint() and kgwebhook.fingerprint(): telling secrets apart without
 *	  seeing them.
 *
 * A fingerprint is the beginning of an HMAC-SHA256 of the secret.  Its key has to
 * be one that nobody has: a secret that was agreed elsewhere may be a word, which
 * anyone who knows the key can find by trying.  The server has such a key, random since
 * initdb, never shown and in no dump (it makes up answers for roles that don't
 * exist).  So the same secret has the same fingerprint in all databases of a
 * server and on its standbys, and another one elsewhere, after pg_upgrade, too.
 *
 * src/api/keys/secret_fingerprint.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "catalog/pg_type.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "api/arguments.h"
#include "api/keys/secrets.h"
#include "pg/compat.h"
#include "pg/error_recovery.h"
#include "secrets/encryption.h"
#include "secrets/statement_redaction.h"

PG_FUNCTION_INFO_V1(kg_fingerprint);
PG_FUNCTION_INFO_V1(kg_fingerprint_of);

/* What the HMAC is for, so that it is good for nothing else. */
#define PURPOSE "kgwebhook secret: fingerprint, 1"

/* 48 bits: two of a million secrets are the same by chance once in 560. */
#define SHOWN_BYTES 6

static text *
fingerprint(const text *secret)
{
	pg_hmac_ctx *hmac = pg_hmac_create(PG_SHA256);
	uint8		mac[PG_SHA256_DIGEST_LENGTH];
	char		shown[2 * SHOWN_BYTES];

	if (hmac == NULL ||
		pg_hmac_init(hmac, (uint8 *) GetMockAuthenticationNonce(), MOCK_AUTH_NONCE_LEN) < 0 ||
		pg_hmac_update(hmac, (const uint8 *) PURPOSE, sizeof(PURPOSE)) < 0 ||
		pg_hmac_update(hmac, (const uint8 *) VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret)) < 0 ||
		pg_hmac_final(hmac, mac, sizeof(mac)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not make a fingerprint"),
				 errdetail("%s.", hmac != NULL ? pg_hmac_error(hmac) : "out of memory")));
	pg_hmac_free(hmac);
	hex_encode((char *) mac, SHOWN_BYTES, shown);
	return cstring_to_text_with_len(shown, sizeof(shown));
}

/*
 * kg_fingerprint(secret text) -> text
 */
Datum
kg_fingerprint(PG_FUNCTION_ARGS)
{
	KgwDiscretion discretion;
	text	   *result;

	kgw_statement_redaction_begin(&discretion, "SELECT kg_fingerprint(...)");
	result = fingerprint(kgw_arguments_text(fcinfo, 0, "secret"));
	kgw_secrets_warn_of_log("the secret", "Replace it with kg_rotate_secret().");
	kgw_statement_redaction_end(&discretion);
	PG_RETURN_TEXT_P(result);
}

typedef struct KgwKept
{
	text	   *org_id;
	text	   *kept;
	text	   *result;
} KgwKept;

static void
fingerprint_encrypted(void *arg)
{
	KgwKept    *k = arg;
	text	   *clear = kgw_encryption_open(k->org_id, k->kept, true, NULL, NULL);

	k->result = fingerprint(clear);
	explicit_bzero(VARDATA_ANY(clear), VARSIZE_ANY_EXHDR(clear));
}

/* Of a secret as it is kept; NULL when it cannot be decrypted. */
static text *
fingerprint_kept(text *org_id, text *kept, bool encrypted)
{
	KgwKept		k = {org_id, kept, NULL};
	ErrorData  *error;

	if (!encrypted)
		return fingerprint(kept);
	error = kgw_error_recovery_subtransaction(fingerprint_encrypted, &k);
	if (error != NULL && error->sqlerrcode != ERRCODE_CONFIG_FILE_ERROR)
		ReThrowError(error);
	return k.result;
}

/*
 * kgwebhook.fingerprint(org_id text, next boolean, subscription_id bigint) -> text: of the secret that a
 * rotation began with, or of the one it leads to; NULL when there is none, or when
 * it cannot be decrypted at present
 */
Datum
kg_fingerprint_of(PG_FUNCTION_ARGS)
{
	text	   *org_id = PG_GETARG_TEXT_PP(0);
	MemoryContext caller = CurrentMemoryContext;
	Oid			types[] = {TEXTOID, BOOLOID, INT8OID};
	Datum		args[3];
	bool		nulls[2] = {true, true};
	Datum		values[2] = {0};
	text	   *result = NULL;
	KgwDiscretion discretion;

	args[0] = PointerGetDatum(org_id);
	args[1] = PG_GETARG_DATUM(1);
	args[2] = PG_GETARG_DATUM(2);
	kgw_statement_redaction_begin(&discretion, NULL);
	SPI_connect();
	if (SPI_execute_with_args("SELECT CASE WHEN $2 THEN next_secret ELSE secret END, encrypted"
							  " FROM kgwebhook.secret WHERE org_id OPERATOR(pg_catalog.=) $1"
							  "   AND subscription_id OPERATOR(pg_catalog.=) $3",
							  3, types, args, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.secret");
	if (SPI_processed == 1)
		for (int i = 0; i < 2; i++)
			values[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &nulls[i]);
	if (!nulls[0])
		result = fingerprint_kept(org_id, DatumGetTextPP(values[0]), DatumGetBool(values[1]));
	if (result != NULL)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);

		result = (text *) PG_DETOAST_DATUM_COPY(PointerGetDatum(result));
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	kgw_statement_redaction_end(&discretion);
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(result);
}
