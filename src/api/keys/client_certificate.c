/*-------------------------------------------------------------------------
 *
 * client_certificate.c
 *	  kg_set_client_certificate(): what an endpoint is shown that demands a client certificate.
 *
 * Some receivers let only those in who show a certificate of their own authority.
 * The private key is kept as secrets are: encrypted when these are, and wiped after use.
 * What cannot work is refused when it is set, not found out by a payment.
 *
 * src/api/keys/client_certificate.c
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

#include "api/arguments.h"
#include "api/keys/secrets.h"
#include "secrets/key_file.h"
#include "secrets/statement_redaction.h"

PG_FUNCTION_INFO_V1(kg_set_client_certificate);

/* Longest certificate, with its chain, and longest key. */
#define PEM_MAX (64 * 1024)

static text *
pem_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	text	   *value = kgw_arguments_text(fcinfo, n, name);
	size_t		len = VARSIZE_ANY_EXHDR(value);

	if (len == 0 || len > PEM_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is %s", name, len == 0 ? "empty" : "too long"),
				 errdetail("A certificate with its chain, and a private key, have 1 to %d bytes each.", PEM_MAX)));
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

/* Locked: where it is being removed, nothing must be left behind. */
static void
lock_subscription(text *org_id, int64 subscription_id)
{
	Oid			types[] = {TEXTOID, INT8OID};
	Datum		args[2];

	args[0] = PointerGetDatum(org_id);
	args[1] = Int64GetDatum(subscription_id);
	if (SPI_execute_with_args("SELECT FROM kgwebhook.subscription WHERE org_id OPERATOR(pg_catalog.=) $1"
							  " AND subscription_id OPERATOR(pg_catalog.=) $2 FOR KEY SHARE",
							  2, types, args, NULL, false, 1) != SPI_OK_SELECT)
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
	args[3] = PointerGetDatum(kgw_secrets_as_kept(org_id, private_key));
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
	org_id = kgw_arguments_org_id(fcinfo, 0);
	SPI_connect();
	if (!PG_ARGISNULL(3))
		lock_subscription(org_id, subscription_id);
	if (PG_ARGISNULL(1))
		remove_certificate(org_id, subscription_id);
	else
	{
		store_certificate(org_id, subscription_id, pem_argument(fcinfo, 1, "certificate"),
						  pem_argument(fcinfo, 2, "private_key"));
		kgw_secrets_warn_of_log("the private key", "Have another certificate made.");
	}
	SPI_finish();
	kgw_statement_redaction_end(&discretion);
	PG_RETURN_VOID();
}
