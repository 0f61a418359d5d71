/*-------------------------------------------------------------------------
 *
 * signing_keys.c
 *	  The signing keys of an organization: from their table into its keyring.
 *
 * They are an organization's, also where a subscription has a secret of its own: who verifies
 * by a public key needs no other.
 *
 * src/secrets/signing_keys.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "pg/clock.h"
#include "secrets/encryption.h"
#include "secrets/signing_keys.h"

/* Columns of the query below, from 1. */
enum
{
	PRIVATE_KEY = 1, KEY_ACTIVATES_AT, KEY_RETIRES_AT, KEY_ENCRYPTED
};

static KgwSigningKey *
open_key(text *org_id, Datum kept, bool encrypted)
{
	static const KgwSealedName name = {KGW_SEALED_SIGNING_KEY, 0, NULL};
	text	   *value = kgw_encryption_open(org_id, DatumGetTextPP(kept), encrypted, NULL, &name);
	KgwSigningKey *key = kgw_signing_key_new(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	bool		no_memory = key == NULL && errno == ENOMEM;

	explicit_bzero(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));

	/* that passes, and nobody has to be told to do something */
	if (no_memory)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	if (key == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("the signing key of organization \"%s\" cannot be used", text_to_cstring(org_id)),
				 errdetail("It is not a key as kg_create_signing_key() makes them."),
				 errhint("The row of kgwebhook.signing_key is damaged: remove it, and make another key with kg_create_signing_key().")));
	return key;
}

/* Take a key; they come in the order in which they retire.  Whether it has. */
static bool
take_key(text *org_id, HeapTuple row, TupleDesc desc, KgwKeyring *keyring)
{
	Datum		values[KEY_ENCRYPTED + 1];
	bool		nulls[KEY_ENCRYPTED + 1];
	KgwSigningKey *key;

	for (int i = PRIVATE_KEY; i <= KEY_ENCRYPTED; i++)
		values[i] = SPI_getbinval(row, desc, i, &nulls[i]);
	if (!nulls[KEY_RETIRES_AT] && kgw_clock_second_of(DatumGetTimestampTz(values[KEY_RETIRES_AT])) <= kgw_clock_unix())
		return true;
	key = open_key(org_id, values[PRIVATE_KEY], DatumGetBool(values[KEY_ENCRYPTED]));
	if (keyring->key == NULL)
	{
		keyring->key = key;
		keyring->key_retires_at = nulls[KEY_RETIRES_AT] ? INT64_MAX : kgw_clock_second_of(DatumGetTimestampTz(values[KEY_RETIRES_AT]));
		return false;
	}
	kgw_signing_key_free(keyring->next_key);
	keyring->next_key = key;
	keyring->key_activates_at = kgw_clock_second_of(DatumGetTimestampTz(values[KEY_ACTIVATES_AT]));
	return false;
}

/* Which of the organization's requests are signed by RFC 9421 as well. */
static void
fill_http_signed(Datum org_id, KgwKeyring *keyring)
{
	Oid			types[] = {TEXTOID};
	SPITupleTable *table;
	bool		isnull;

	if (SPI_execute_with_args("SELECT subscription_id FROM kgwebhook.http_signature"
							  " WHERE org_id OPERATOR(pg_catalog.=) $1",
							  1, types, &org_id, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.http_signature");
	table = SPI_tuptable;
	keyring->http_signed = malloc(Max(table->numvals, 1) * sizeof(int64_t));
	if (keyring->http_signed == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	for (uint64 i = 0; i < table->numvals; i++)
		keyring->http_signed[i] = DatumGetInt64(SPI_getbinval(table->vals[i], table->tupdesc, 1, &isnull));
	keyring->http_signed_count = (int) table->numvals;
	SPI_freetuptable(table);
}

/*
 * Put an organization's signing keys into its keyring, and which requests they sign by RFC
 * 9421 as well.  Whether one was met that has retired.  Needs SPI to be connected; an error
 * when a key cannot be decrypted.
 */
bool
kgw_signing_keys_load(Datum org_id, KgwKeyring *keyring)
{
	Oid			types[] = {TEXTOID};
	SPITupleTable *table;
	bool		retired = false;

	if (SPI_execute_with_args("SELECT private_key, activates_at, retires_at, encrypted"
							  " FROM kgwebhook.signing_key WHERE org_id OPERATOR(pg_catalog.=) $1"
							  " ORDER BY retires_at",
							  1, types, &org_id, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.signing_key");
	table = SPI_tuptable;
	for (uint64 i = 0; i < table->numvals; i++)
		retired |= take_key(DatumGetTextPP(org_id), table->vals[i], table->tupdesc, keyring);
	SPI_freetuptable(table);
	if (keyring->key != NULL)
		fill_http_signed(org_id, keyring);
	return retired;
}
