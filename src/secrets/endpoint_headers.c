/*-------------------------------------------------------------------------
 *
 * endpoint_headers.c
 *	  The headers that endpoints want besides ours: from their table into a keyring.
 *
 * Their values may be credentials, so they live as secrets do, encrypted when these are, and
 * wiped after use.  They are for one destination: should the subscription's URL become
 * another host's, a request that is on its way there has none of them.
 *
 * What cannot be decrypted is that subscription's fault in the keyring, and no one else's.
 *
 * src/secrets/endpoint_headers.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "secrets/endpoint_headers.h"
#include "secrets/undecryptable.h"

/* Columns of the query below, from 1. */
enum
{
	SUBSCRIPTION_ID = 1, DESTINATION, LINES, ENCRYPTED, HEADER_NAMES
};

/* False when there is no memory. */
static bool
load_headers(text *org_id, HeapTuple row, TupleDesc desc, bool guarded, KgwKeyring *keyring)
{
	static const char not_decrypted[] = "the subscription's headers cannot be decrypted at present";
	bool		isnull;
	KgwSealedName name = {KGW_SEALED_HEADERS, DatumGetInt64(SPI_getbinval(row, desc, SUBSCRIPTION_ID, &isnull)),
	SPI_getvalue(row, desc, HEADER_NAMES)};
	text	   *kept = DatumGetTextPP(SPI_getbinval(row, desc, LINES, &isnull));
	bool		encrypted = DatumGetBool(SPI_getbinval(row, desc, ENCRYPTED, &isnull));
	text	   *lines = guarded ? kgw_undecryptable_open(org_id, kept, encrypted, &name) :
		kgw_encryption_open(org_id, kept, encrypted, NULL, &name);
	KgwHeaders *loaded;

	if (lines == NULL)
		return kgw_keyring_fault_add(keyring, name.subscription_id, not_decrypted);
	loaded = kgw_request_headers_new(name.subscription_id, SPI_getvalue(row, desc, DESTINATION), VARDATA_ANY(lines),
									 VARSIZE_ANY_EXHDR(lines));
	explicit_bzero(VARDATA_ANY(lines), VARSIZE_ANY_EXHDR(lines));
	return kgw_keyring_headers_add(keyring, loaded);
}

/*
 * Put the headers of a subscription into its keyring; guarded, those of all of the organization's
 * if it is 0.  Needs SPI to be connected.  An error when they cannot be decrypted; guarded, a
 * fault of the endpoint's.
 */
void
kgw_endpoint_headers_load(Datum org_id, Datum subscription_id, bool guarded, KgwKeyring *keyring)
{
	Oid			types[] = {TEXTOID, INT8OID, BOOLOID};
	Datum		args[] = {org_id, subscription_id, BoolGetDatum(guarded)};
	SPITupleTable *table;
	bool		added = true;

	if (SPI_execute_with_args("SELECT h.subscription_id, h.destination, h.lines, h.encrypted,"
							  "       (SELECT pg_catalog.array_to_string(s.header_names, ', ') FROM kgwebhook.subscription s"
							  "         WHERE s.subscription_id OPERATOR(pg_catalog.=) h.subscription_id)"
							  " FROM kgwebhook.request_header h WHERE h.org_id OPERATOR(pg_catalog.=) $1"
							  "   AND (h.subscription_id OPERATOR(pg_catalog.=) $2 OR $3 AND $2 OPERATOR(pg_catalog.=) 0)",
							  3, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.request_header");
	table = SPI_tuptable;
	for (uint64 i = 0; added && i < table->numvals; i++)
		added = load_headers(DatumGetTextPP(org_id), table->vals[i], table->tupdesc, guarded, keyring);
	if (!added)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	SPI_freetuptable(table);
}
