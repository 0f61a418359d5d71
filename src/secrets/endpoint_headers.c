/*-------------------------------------------------------------------------
 *
 * endpoint_headers.c
 *	  The headers that endpoints want besides ours: from their table into a keyring.
 *
 * Their values may be credentials, so they live as secrets do, encrypted when these are, and
 * wiped after use.  They are for one destination: should the subscription's URL become
 * another host's, a request that is on its way there has none of them.
 *
 * src/secrets/endpoint_headers.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "secrets/encryption.h"
#include "secrets/endpoint_headers.h"

/* Columns of the query below, from 1. */
enum
{
	SUBSCRIPTION_ID = 1, DESTINATION, LINES, ENCRYPTED
};

static KgwHeaders *
load_headers(text *org_id, HeapTuple row, TupleDesc desc)
{
	bool		isnull;
	text	   *lines = kgw_encryption_open(org_id, DatumGetTextPP(SPI_getbinval(row, desc, LINES, &isnull)),
											DatumGetBool(SPI_getbinval(row, desc, ENCRYPTED, &isnull)), NULL);
	KgwHeaders *loaded;

	loaded = kgw_request_headers_new(DatumGetInt64(SPI_getbinval(row, desc, SUBSCRIPTION_ID, &isnull)),
									 SPI_getvalue(row, desc, DESTINATION), VARDATA_ANY(lines),
									 VARSIZE_ANY_EXHDR(lines));
	explicit_bzero(VARDATA_ANY(lines), VARSIZE_ANY_EXHDR(lines));
	return loaded;
}

/*
 * Put the headers of a subscription into its keyring, or those of all of the organization's (0).
 * Needs SPI to be connected.  An error when they cannot be decrypted.
 */
void
kgw_endpoint_headers_load(Datum org_id, Datum subscription_id, KgwKeyring *keyring)
{
	Oid			types[] = {TEXTOID, INT8OID};
	Datum		args[] = {org_id, subscription_id};
	SPITupleTable *table;
	bool		added = true;

	if (SPI_execute_with_args("SELECT subscription_id, destination, lines, encrypted"
							  " FROM kgwebhook.request_header WHERE org_id OPERATOR(pg_catalog.=) $1"
							  "   AND ($2 OPERATOR(pg_catalog.=) 0 OR subscription_id OPERATOR(pg_catalog.=) $2)",
							  2, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.request_header");
	table = SPI_tuptable;
	for (uint64 i = 0; added && i < table->numvals; i++)
		added = kgw_keyring_headers_add(keyring, load_headers(DatumGetTextPP(org_id), table->vals[i], table->tupdesc));
	if (!added)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	SPI_freetuptable(table);
}
