/*-------------------------------------------------------------------------
 *
 * secrets.c
 *	  Giving an organization a signing secret: kg_create_secret() and
 *	  kg_set_secret(); and kg_encrypt_secrets().
 *
 * A secret that is made here is returned this once, over the caller's own
 * connection, and can't be read back by any function.  One that is passed in
 * may have been through the server's log, if statements are logged; that is
 * the reason to prefer the first, and the caller is told when it is so.
 *
 * What cannot be decrypted today may be tomorrow, once the right key file is back,
 * and its receiver knows no other.  So nothing here replaces such a secret, unless
 * the caller says in so many words that it may be lost.
 *
 * src/api/keys/secrets.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "api/arguments.h"
#include "api/caller.h"
#include "api/keys/secrets.h"
#include "api/subscribe.h"
#include "pg/error_recovery.h"
#include "secrets/encryption.h"
#include "secrets/key_file.h"
#include "secrets/secret_cache.h"
#include "secrets/secret_maintenance.h"
#include "secrets/statement_redaction.h"

PG_FUNCTION_INFO_V1(kg_create_secret);
PG_FUNCTION_INFO_V1(kg_create_subscription_secret);
PG_FUNCTION_INFO_V1(kg_set_secret);
PG_FUNCTION_INFO_V1(kg_encrypt_secrets);

/* Longer ones than this are no secrets but mistakes. */
#define SECRET_MAX 512

/* Fewer characters than this can be guessed (Standard Webhooks: 24 bytes). */
#define SECRET_GOOD 24

/* A secret as it goes into the table; palloc'd, or the secret itself. */
text *
kgw_secrets_as_kept(text *org_id, text *secret)
{
	return kgw_key_file_set() ? kgw_encryption_seal(org_id, secret) : secret;
}

/*
 * Whose secret a function is about, by its first argument: an organization, or a
 * subscription, which is locked.  An error where the caller may not act for it.  SPI is connected.
 */
void
kgw_secrets_find(FunctionCallInfo fcinfo, bool of_subscription, KgwSecretOf *of)
{
	if (!of_subscription)
	{
		of->org_id = kgw_arguments_org_id(fcinfo, 0);
		of->subscription_id = 0;
		kgw_caller_check_organization(of->org_id);
		return;
	}
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("subscription_id must not be null")));
	of->subscription_id = PG_GETARG_INT64(0);
	of->org_id = DatumGetTextPP(kgw_subscribe_lock(of->subscription_id));
}

/* The holder of a secret, in words; palloc'd. */
char *
kgw_secrets_holder(const KgwSecretOf *of)
{
	return of->subscription_id != 0 ? psprintf("subscription " INT64_FORMAT, of->subscription_id) :
		psprintf("organization \"%s\"", text_to_cstring(of->org_id));
}

/* SPI is connected. */
static uint64
store(const KgwSecretOf *of, text *secret, const char *query)
{
	Oid			types[] = {TEXTOID, TEXTOID, BOOLOID, INT8OID};
	Datum		args[4];

	args[0] = PointerGetDatum(of->org_id);
	args[1] = PointerGetDatum(kgw_secrets_as_kept(of->org_id, secret));
	args[2] = BoolGetDatum(kgw_key_file_set());
	args[3] = Int64GetDatum(of->subscription_id);
	if (SPI_execute_with_args(query, 4, types, args, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write kgwebhook.secret");
	return SPI_processed;
}

/* A new secret, palloc'd. */
text *
kgw_secrets_make(void)
{
	unsigned char random[KGW_SECRET_BYTES];
	char		secret[KGW_SECRET_SIZE];
	text	   *result;

	if (!pg_strong_random(random, sizeof(random)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not make a secret"),
				 errdetail("The source of random numbers failed.")));
	kgw_signature_format_secret(random, secret);
	result = cstring_to_text(secret);
	explicit_bzero(random, sizeof(random));
	explicit_bzero(secret, sizeof(secret));
	return result;
}

/* A subscription's is noted with the subscription, for those who enqueue for it. */
static void
note_own_secret(const KgwSecretOf *of)
{
	Oid			types[] = {INT8OID};
	Datum		args[1];

	args[0] = Int64GetDatum(of->subscription_id);
	if (of->subscription_id != 0 &&
		SPI_execute_with_args("UPDATE kgwebhook.subscription SET own_secret = true"
							  " WHERE subscription_id OPERATOR(pg_catalog.=) $1",
							  1, types, args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write kgwebhook.subscription");
}

static Datum
create(FunctionCallInfo fcinfo, bool of_subscription)
{
	text	   *secret = kgw_secrets_make();
	MemoryContext caller = CurrentMemoryContext;
	KgwDiscretion discretion;
	KgwSecretOf of;
	uint64		stored;
	char	   *holder;

	kgw_statement_redaction_begin(&discretion, NULL);
	SPI_connect();
	kgw_secrets_find(fcinfo, of_subscription, &of);
	stored = store(&of, secret,
				   "INSERT INTO kgwebhook.secret (org_id, secret, encrypted, subscription_id) VALUES ($1, $2, $3, $4)"
				   " ON CONFLICT ON CONSTRAINT secret_pkey DO NOTHING");
	note_own_secret(&of);
	holder = MemoryContextStrdup(caller, kgw_secrets_holder(&of));
	SPI_finish();
	kgw_statement_redaction_end(&discretion);
	if (stored == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("%s has a secret already", holder),
				 errdetail("A secret is shown only once, when it is made."),
				 of.subscription_id == 0 ?
				 errhint("Change it with kg_rotate_secret(), or at once with kg_set_secret().") :
				 errhint("Change it with kg_rotate_secret(), or discard it with kg_drop_secret().")));
	PG_RETURN_TEXT_P(secret);
}

/*
 * kg_create_secret(org_id text) -> text
 */
Datum
kg_create_secret(PG_FUNCTION_ARGS)
{
	return create(fcinfo, false);
}

/*
 * kg_create_secret(subscription_id bigint) -> text: one of the subscription's own
 */
Datum
kg_create_subscription_secret(PG_FUNCTION_ARGS)
{
	return create(fcinfo, true);
}

/* Tell the caller what will have been put into the server's log, and what to do about it. */
void
kgw_secrets_warn_of_log(const char *what, const char *remedy)
{
	const char *recorder = kgw_statement_redaction_recorder();

	if (recorder == NULL)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("%s may be in the server's log", what),
			 errdetail("The setting \"%s\" makes the server log statements as they are written.", recorder),
			 errhint("%s  Before you set another, turn off statement logging:"
					 " SET log_statement = 'none'; SET log_min_duration_statement = -1.", remedy)));
}

typedef struct KgwSealed
{
	text	   *org_id;
	text	   *sealed;
} KgwSealed;

static void
try_to_decrypt(void *arg)
{
	KgwSealed  *s = arg;
	text	   *clear = kgw_encryption_open(s->org_id, s->sealed, true, NULL, NULL);

	explicit_bzero(VARDATA_ANY(clear), VARSIZE_ANY_EXHDR(clear));
}

/* Of a row's column: nothing, if it can be decrypted; else an error. */
static void
check_decryptable(text *org_id, HeapTuple row, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		sealed = SPI_getbinval(row, desc, column, &isnull);
	KgwSealed	s = {org_id, NULL};
	ErrorData  *error;

	if (isnull)
		return;
	s.sealed = DatumGetTextPP(sealed);
	error = kgw_error_recovery_subtransaction(try_to_decrypt, &s);
	if (error == NULL)
		return;
	if (error->sqlerrcode != ERRCODE_CONFIG_FILE_ERROR)
		ReThrowError(error);
	ereport(ERROR,
			(errcode(ERRCODE_CONFIG_FILE_ERROR),
			 errmsg("the present secret of organization \"%s\" cannot be decrypted, and would be lost",
					text_to_cstring(org_id)),
			 error->detail != NULL ? errdetail_internal("%s", error->detail) : 0,
			 errhint("Restore the file of \"kgwebhook.key_file\" and reload: what waits is then sent, signed with it."
					 "  Only if its key is lost for good, use kg_set_secret(org_id, secret, replace_undecryptable => true).")));
}

/* Refuse if there is a secret that someone may yet be able to decrypt. */
static void
spare_undecryptable(text *org_id)
{
	Oid			types[] = {TEXTOID};
	Datum		args[1];

	args[0] = PointerGetDatum(org_id);
	SPI_connect();
	if (SPI_execute_with_args("SELECT secret, next_secret FROM kgwebhook.secret"
							  " WHERE org_id OPERATOR(pg_catalog.=) $1 AND subscription_id OPERATOR(pg_catalog.=) 0"
							  "   AND encrypted FOR UPDATE",
							  1, types, args, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.secret");
	if (SPI_processed == 1)
		for (int column = 1; column <= 2; column++)
			check_decryptable(org_id, SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);
	SPI_finish();
}

static void
set_secret(FunctionCallInfo fcinfo, bool replace_undecryptable)
{
	text	   *org_id = kgw_arguments_org_id(fcinfo, 0);
	text	   *secret = kgw_arguments_text(fcinfo, 1, "secret");
	size_t		len = VARSIZE_ANY_EXHDR(secret);
	KgwSecretOf of = {.org_id = org_id};

	if (len == 0 || len > SECRET_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("secret is %s", len == 0 ? "empty" : "too long"),
				 errdetail("A secret has 1 to %d bytes.", SECRET_MAX),
				 errhint("Use kg_create_secret() to generate one.")));
	if (len < SECRET_GOOD)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("secret is short"),
				 errdetail("It has %zu bytes; fewer than %d can be guessed.", len, SECRET_GOOD),
				 errhint("Use kg_create_secret() to generate one.")));
	if (!replace_undecryptable)
		spare_undecryptable(org_id);
	SPI_connect();
	store(&of, secret,
		  "INSERT INTO kgwebhook.secret (org_id, secret, encrypted, subscription_id) VALUES ($1, $2, $3, $4)"
		  " ON CONFLICT ON CONSTRAINT secret_pkey DO UPDATE SET secret = excluded.secret,"
		  " encrypted = excluded.encrypted, created_at = pg_catalog.now(),"
		  " next_secret = NULL, activates_at = NULL, retires_at = NULL");
	SPI_finish();
}

/*
 * kg_set_secret(org_id text, secret text)
 * kg_set_secret(org_id text, secret text, replace_undecryptable boolean)
 */
Datum
kg_set_secret(PG_FUNCTION_ARGS)
{
	KgwDiscretion discretion;

	kgw_statement_redaction_begin(&discretion, "SELECT kg_set_secret(...)");
	set_secret(fcinfo, PG_NARGS() == 3 && !PG_ARGISNULL(2) && PG_GETARG_BOOL(2));
	kgw_secrets_warn_of_log("the secret", "Replace it with kg_rotate_secret().");
	kgw_statement_redaction_end(&discretion);
	PG_RETURN_VOID();
}

/*
 * kg_encrypt_secrets() -> bigint
 */
Datum
kg_encrypt_secrets(PG_FUNCTION_ARGS)
{
	KgwDiscretion discretion;
	int64		changed;

	if (!kgw_key_file_set())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("there is no key to encrypt secrets with"),
				 errdetail("\"kgwebhook.key_file\" is not set."),
				 errhint("Set it to a file with a key and reload the configuration.")));
	kgw_statement_redaction_begin(&discretion, NULL);
	SPI_connect();
	changed = kgw_secret_maintenance_encrypt_all();
	SPI_finish();
	kgw_statement_redaction_end(&discretion);
	if (changed > 0)
		ereport(NOTICE,
				(errmsg(INT64_FORMAT " secrets, private keys and headers were encrypted", changed),
				 errdetail("Their plain text is still in the tables' files, in WAL and in backups."),
				 errhint("VACUUM FULL kgwebhook.secret, kgwebhook.signing_key, kgwebhook.client_certificate,"
						 " kgwebhook.request_header removes it from the tables' files; replace those that are in a backup.")));
	PG_RETURN_INT64(changed);
}
