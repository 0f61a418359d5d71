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
 * src/secrets/client_certificates.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "secrets/client_certificates.h"
#include "secrets/encryption.h"

/* Columns of the query below, from 1. */
enum
{
	SUBSCRIPTION_ID = 1, CERTIFICATE, PRIVATE_KEY, ENCRYPTED
};

static KgwCertificate *
load_one(text *org_id, HeapTuple row, TupleDesc desc)
{
	bool		isnull;
	int64		subscription_id = DatumGetInt64(SPI_getbinval(row, desc, SUBSCRIPTION_ID, &isnull));
	char	   *certificate = psprintf("endpoint " INT64_FORMAT " of %s\n%s", subscription_id,
									   text_to_cstring(org_id), SPI_getvalue(row, desc, CERTIFICATE));
	text	   *key = kgw_encryption_open(org_id, DatumGetTextPP(SPI_getbinval(row, desc, PRIVATE_KEY, &isnull)),
									  DatumGetBool(SPI_getbinval(row, desc, ENCRYPTED, &isnull)), NULL);
	KgwCertificate *loaded;

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
kgw_client_certificates_load(Datum org_id, KgwKeyring *keyring)
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
