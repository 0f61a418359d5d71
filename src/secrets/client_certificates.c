/*-------------------------------------------------------------------------
 *
 * client_certificates.c
 *	  The client certificates of an organization: from their table into its keyring.
 *
 * A certificate is an endpoint's and no one else's: a connection or a TLS session that was made
 * with it must never serve another one.  libcurl compares the certificates of
 * connections byte by byte, so each endpoint's begins with a line that names it, which is no
 * part of the certificate, and two endpoints never have the same.
 *
 * A private key that cannot be decrypted is that endpoint's fault in the keyring, and no one else's.
 *
 * src/secrets/client_certificates.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "secrets/client_certificates.h"
#include "secrets/undecryptable.h"

/* Columns of the query below, from 1. */
enum
{
	SUBSCRIPTION_ID = 1, CERTIFICATE, PRIVATE_KEY, ENCRYPTED
};

/* False when there is no memory. */
static bool
load_one(text *org_id, HeapTuple row, TupleDesc desc, bool guarded, KgwKeyring *keyring)
{
	static const char not_decrypted[] = "the client certificate cannot be decrypted at present";
	bool		isnull;
	KgwSealedName name = {KGW_SEALED_CERTIFICATE, DatumGetInt64(SPI_getbinval(row, desc, SUBSCRIPTION_ID, &isnull)), NULL};
	char	   *certificate = psprintf("endpoint " INT64_FORMAT " of %s\n%s", name.subscription_id,
									   text_to_cstring(org_id), SPI_getvalue(row, desc, CERTIFICATE));
	text	   *kept = DatumGetTextPP(SPI_getbinval(row, desc, PRIVATE_KEY, &isnull));
	bool		encrypted = DatumGetBool(SPI_getbinval(row, desc, ENCRYPTED, &isnull));
	text	   *key = guarded ? kgw_undecryptable_open(org_id, kept, encrypted, &name) :
		kgw_encryption_open(org_id, kept, encrypted, NULL, &name);
	KgwCertificate *loaded;

	if (key == NULL)
		return kgw_keyring_fault_add(keyring, name.subscription_id, not_decrypted);
	loaded = kgw_keyring_certificate_new(name.subscription_id, certificate, strlen(certificate),
										 VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key));
	explicit_bzero(VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key));
	return kgw_keyring_certificate_add(keyring, loaded);
}

/*
 * Put an endpoint's client certificate into its keyring; guarded, all of the organization's if the
 * subscription is 0, which else stands for own URLs.  Needs SPI to be connected.  An error when a
 * key cannot be decrypted; guarded, a fault of the endpoint's.
 */
void
kgw_client_certificates_load(Datum org_id, Datum subscription_id, bool guarded, KgwKeyring *keyring)
{
	Oid			types[] = {TEXTOID, INT8OID, BOOLOID};
	Datum		args[] = {org_id, subscription_id, BoolGetDatum(guarded)};
	SPITupleTable *table;
	bool		added = true;

	if (SPI_execute_with_args("SELECT subscription_id, certificate, private_key, encrypted"
							  " FROM kgwebhook.client_certificate WHERE org_id OPERATOR(pg_catalog.=) $1"
							  "   AND (subscription_id OPERATOR(pg_catalog.=) $2 OR $3 AND $2 OPERATOR(pg_catalog.=) 0)",
							  3, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.client_certificate");
	table = SPI_tuptable;
	for (uint64 i = 0; added && i < table->numvals; i++)
		added = load_one(DatumGetTextPP(org_id), table->vals[i], table->tupdesc, guarded, keyring);
	if (!added)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	SPI_freetuptable(table);
}
