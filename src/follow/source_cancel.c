/*-------------------------------------------------------------------------
 *
 * source_cancel.c
 *	  Having a source give up what it is doing for us.
 *
 * That is asked over a connection of its own, which has an end of its patience; PQcancel()
 * has none, and waits for as long as a server that is stopped, or a network that is cut,
 * says nothing.
 *
 * src/follow/source_cancel.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/fd.h"
#include "utils/timestamp.h"

#include "follow/source_cancel.h"
#include "follow/source_open.h"
#include "follow/source_query.h"

static bool
finish(PGconn *conn, int patience)
{
	return kgw_source_query_finish(conn, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), patience));
}

/* Cancel the query of a connection: see source_cancel.h. */
bool
kgw_source_cancel(const char *source, const char *conninfo, PGconn *conn, int patience)
{
	char		query[64];
	PGconn	   *beside;
	bool		done;

	if (!AcquireExternalFD())
		return true;
	snprintf(query, sizeof(query), "SELECT pg_catalog.pg_cancel_backend(%d)", PQbackendPID(conn));
	beside = kgw_source_open(source, conninfo, conn);
	done = PQstatus(beside) == CONNECTION_OK && PQsendQuery(beside, query) && finish(beside, patience);
	PQfinish(beside);
	ReleaseExternalFD();
	if (done)
		(void) finish(conn, patience);
	return done;
}
