/*-------------------------------------------------------------------------
 *
 * source_string.c
 *	  By which string a source is connected: its subscription's.
 *
 * It is kept nowhere else, for it may have a password in it.  PostgreSQL shows it to
 * superusers only, who own such subscriptions, and changes it by ALTER SUBSCRIPTION: so
 * it is read each time.
 *
 * src/follow/source_string.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "follow/source_string.h"

/* The string of the subscription that brings a source, which only its owner may read. */
char *
kgw_source_string(const char *source)
{
	Oid			types[] = {TEXTOID};
	Datum		args[1];
	char	   *conninfo = NULL;
	MemoryContext caller = CurrentMemoryContext;

	args[0] = CStringGetTextDatum(source);
	SPI_connect();
	if (SPI_execute_with_args("SELECT s.subconninfo FROM pg_catalog.pg_subscription s"
							  " JOIN kgwebhook.source k ON k.subscription OPERATOR(pg_catalog.=) s.subname"
							  " JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) s.subdbid"
							  " WHERE k.source OPERATOR(pg_catalog.=) $1"
							  "   AND d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()",
							  1, types, args, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read pg_subscription");
	if (SPI_processed == 1)
		conninfo = MemoryContextStrdup(caller, SPI_getvalue(SPI_tuptable->vals[0],
															SPI_tuptable->tupdesc, 1));
	SPI_finish();
	if (conninfo == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("source \"%s\" is not followed", source),
				 errhint("SELECT source FROM kgwebhook.sources shows those that are.")));
	return conninfo;
}
