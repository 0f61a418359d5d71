/*-------------------------------------------------------------------------
 *
 * client_certificate.c
 *	  Client certificates, by endpoint: how they get into their table, and out of it.
 *
 * Some receivers let only those in who show a certificate of their own authority.  Such a
 * certificate is the endpoint's and no one else's: a connection or a TLS session that was made
 * with it must never serve another one.  libcurl compares the certificates of
 * connections byte by byte, so each endpoint's begins with a line that names it, which is no
 * part of the certificate, and two endpoints never have the same.
 *
 * The private key is kept as secrets are: encrypted when these are, and wiped after use.
 * What cannot work is refused when it is set, not found out by a payment.
 *
 * src/secrets/client_certificate.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "pure/limits.h"
#include "secrets/client_certificate.h"
#include "secrets/encryption.h"
#include "secrets/key_file.h"
#include "secrets/statement_redaction.h"

PG_FUNCTION_INFO_V1(kg_set_client_certificate);

/* Longest certificate, with its chain, and longest key. */
#define PEM_MAX (64 * 1024)

static text *
named_argument(FunctionCallInfo fcinfo, int n, const char *name, int most)
{
	text	   *value;

	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
	value = PG_GETARG_TEXT_PP(n);
	if (VARSIZE_ANY_EXHDR(value) == 0 || VARSIZE_ANY_EXHDR(value) > (size_t) most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is %s", name, VARSIZE_ANY_EXHDR(value) == 0 ? "empty" : "too long")));
	return value;
}

/* A key that is encrypted is refused, and nobody asked for its password. */
static int
no_password(char *buffer, int size, int writing, void *arg)
{
	return 0;
}

/* What is wrong with the two, as a static sentence, or NULL. */
static const char *
find_fault(const text *certificate, const text *private_key)
{
	BIO		   *certificate_bio = BIO_new_mem_buf(VARDATA_ANY(certificate), VARSIZE_ANY_EXHDR(certificate));
	BIO		   *key_bio = BIO_new_mem_buf(VARDATA_ANY(private_key), VARSIZE_ANY_EXHDR(private_key));
	X509	   *x509 = certificate_bio ? PEM_read_bio_X509(certificate_bio, NULL, no_password, NULL) : NULL;
	EVP_PKEY   *key = key_bio ? PEM_read_bio_PrivateKey(key_bio, NULL, no_password, NULL) : NULL;
	const char *fault = NULL;

	if (x509 == NULL)
		fault = "The certificate cannot be read: it has to be in PEM form.";
	else if (key == NULL)
		fault = "The private key cannot be read: it has to be in PEM form, and not encrypted.";
	else if (X509_check_private_key(x509, key) != 1)
		fault = "The private key is not the certificate's.";
	else if (X509_cmp_current_time(X509_get0_notAfter(x509)) < 0)
		fault = "The certificate has expired.";
	EVP_PKEY_free(key);
	X509_free(x509);
	BIO_free(key_bio);
	BIO_free(certificate_bio);
	ERR_clear_error();
	return fault;
}

static void
check_subscription(text *org_id, int64 subscription_id)
{
	Oid			types[] = {TEXTOID, INT8OID};
	Datum		args[2];

	args[0] = PointerGetDatum(org_id);
	args[1] = Int64GetDatum(subscription_id);
	if (SPI_execute_with_args("SELECT FROM kgwebhook.subscription WHERE org_id OPERATOR(pg_catalog.=) $1"
							  " AND subscription_id OPERATOR(pg_catalog.=) $2",
							  2, types, args, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.subscription");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("organization \"%s\" has no subscription " INT64_FORMAT, text_to_cstring(org_id),
						subscription_id),
				 errhint("SELECT * FROM kgwebhook.subscriptions shows the existing ones.")));
}

static void
store_certificate(text *org_id, int64 subscription_id, text *certificate, text *private_key)
{
	Oid			types[] = {TEXTOID, INT8OID, TEXTOID, TEXTOID, BOOLOID};
	Datum		args[5];
	const char *fault = find_fault(certificate, private_key);

	if (fault != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the client certificate cannot be used"),
				 errdetail_internal("%s", fault)));
	args[0] = PointerGetDatum(org_id);
	args[1] = Int64GetDatum(subscription_id);
	args[2] = PointerGetDatum(certificate);
	args[3] = PointerGetDatum(kgw_key_file_set() ? kgw_encryption_seal(org_id, private_key) : private_key);
	args[4] = BoolGetDatum(kgw_key_file_set());
	if (SPI_execute_with_args("INSERT INTO kgwebhook.client_certificate"
							  " (org_id, subscription_id, certificate, private_key, encrypted)"
							  " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (org_id, subscription_id) DO UPDATE"
							  " SET certificate = excluded.certificate, private_key = excluded.private_key,"
							  " encrypted = excluded.encrypted, created_at = pg_catalog.now()",
							  5, types, args, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write kgwebhook.client_certificate");
}

static void
remove_certificate(text *org_id, int64 subscription_id)
{
	Oid			types[] = {TEXTOID, INT8OID};
	Datum		args[2];

	args[0] = PointerGetDatum(org_id);
	args[1] = Int64GetDatum(subscription_id);
	if (SPI_execute_with_args("DELETE FROM kgwebhook.client_certificate WHERE org_id OPERATOR(pg_catalog.=) $1"
							  " AND subscription_id OPERATOR(pg_catalog.=) $2",
							  2, types, args, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not write kgwebhook.client_certificate");
}

/* Tell the caller what will have been put into the server's log. */
static void
warn_of_log_with_key(void)
{
	const char *recorder = kgw_statement_redaction_recorder();

	if (recorder == NULL)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("the private key may be in the server's log"),
			 errdetail("The setting \"%s\" makes the server log statements as they are written.", recorder),
			 errhint("Have another certificate made.  Before you set one, turn off statement logging:"
					 " SET log_statement = 'none'; SET log_min_duration_statement = -1.")));
}

/*
 * kg_set_client_certificate(org_id text, certificate text, private_key text, subscription_id bigint)
 */
Datum
kg_set_client_certificate(PG_FUNCTION_ARGS)
{
	int64		subscription_id = PG_ARGISNULL(3) ? 0 : PG_GETARG_INT64(3);
	KgwDiscretion discretion;
	text	   *org_id;

	/* first of all: an argument that is refused is in a statement with the key */
	kgw_statement_redaction_begin(&discretion, "SELECT kg_set_client_certificate(...)");
	org_id = named_argument(fcinfo, 0, "org_id", KGW_ORG_ID_MAX);
	SPI_connect();
	if (!PG_ARGISNULL(3))
		check_subscription(org_id, subscription_id);
	if (PG_ARGISNULL(1))
		remove_certificate(org_id, subscription_id);
	else
	{
		store_certificate(org_id, subscription_id, named_argument(fcinfo, 1, "certificate", PEM_MAX),
						  named_argument(fcinfo, 2, "private_key", PEM_MAX));
		warn_of_log_with_key();
	}
	SPI_finish();
	kgw_statement_redaction_end(&discretion);
	PG_RETURN_VOID();
}

/* Columns of the query below, from 1. */
enum
{
	SUBSCRIPTION_ID = 1, CERTIFICATE, PRIVATE_KEY, ENCRYPTED
};

static KgwCertificate *
load_one(text *org_id, HeapTuple row, TupleDesc desc)
{
	bool		isnull;
	bool		by_first;
	int64		subscription_id = DatumGetInt64(SPI_getbinval(row, desc, SUBSCRIPTION_ID, &isnull));
	char	   *certificate = psprintf("endpoint " INT64_FORMAT " of %s\n%s", subscription_id,
									   text_to_cstring(org_id), SPI_getvalue(row, desc, CERTIFICATE));
	text	   *key = DatumGetTextPP(SPI_getbinval(row, desc, PRIVATE_KEY, &isnull));
	KgwCertificate *loaded;

	if (DatumGetBool(SPI_getbinval(row, desc, ENCRYPTED, &isnull)))
		key = kgw_encryption_open(org_id, key, &by_first);
	loaded = kgw_keyring_certificate_new(subscription_id, certificate, strlen(certificate),
										 VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key));
	explicit_bzero(VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key));
	return loaded;
}

/*
 * Put the organization's client certificates into its keyring.  Needs SPI to be connected.
 * An error when a key cannot be decrypted.
 */
void
kgw_client_certificate_load(Datum org_id, KgwKeyring *keyring)
{
	Oid			types[] = {TEXTOID};
	SPITupleTable *table;
	bool		added = true;

	if (SPI_execute_with_args("SELECT subscription_id, certificate, private_key, encrypted"
							  " FROM kgwebhook.client_certificate WHERE org_id OPERATOR(pg_catalog.=) $1",
							  1, types, &org_id, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.client_certificate");
	table = SPI_tuptable;
	for (uint64 i = 0; added && i < table->numvals; i++)
		added = kgw_keyring_certificate_add(keyring, load_one(DatumGetTextPP(org_id), table->vals[i],
															  table->tupdesc));
	if (!added)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	SPI_freetuptable(table);
}
