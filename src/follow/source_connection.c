/*-------------------------------------------------------------------------
 *
 * source_connection.c
 *	  A connection to the source that this database follows, and what is to be
 *	  done over it when the transaction ends.
 *
 * Setting up a node means doing something at two servers, of which only this one
 * knows how our transaction ends.  A slot that was created at the source and that nobody
 * reads from makes the source keep its WAL until its disk is full; one that is dropped
 * while the subscription stays loses events.  So what is created there is noted with
 * the command that undoes it, which is carried out when the transaction, or the
 * savepoint that it was created in, is rolled back; and what is to be dropped is noted, and
 * dropped once the transaction has committed.  Both over a connection that is already
 * open: that can fail no more than by the source's going away just then.
 *
 * A connection is one for replication, as the subscription's own is: the role needs no
 * other rights, and slots can be created with their snapshots.  It lives until the end of
 * the transaction; the follower, which has a turn every few seconds, keeps its own as long
 * as they are good and their sources are followed.  libpq is used directly: the callbacks
 * at a transaction's end have no place for errors, catalogs or result descriptors.
 *
 * What libpq says of a string that it can't parse quotes it, password and all: that is
 * never shown.
 *
 * src/follow/source_connection.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "libpq-fe.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "follow/source_cancel.h"
#include "follow/source_connection.h"
#include "follow/source_error.h"
#include "follow/source_open.h"
#include "follow/source_query.h"
#include "follow/source_string.h"

/* So long we wait for the source at the end of a transaction, milliseconds. */
#define END_PATIENCE 5000

/* A command for the end of the transaction. */
typedef struct KgwDeed
{
	char	   *command;
	char	   *by_hand;		/* what to do if it can't be carried out, or NULL */
	bool		at_commit;
	SubTransactionId subxid;	/* where it was noted */
} KgwDeed;

typedef struct KgwSourceConnection
{
	char	   *source;
	char	   *conninfo;
	PGconn	   *conn;
	List	   *deeds;
	bool		used;			/* in this transaction */
	bool		stuck;			/* a query of ours could not be cancelled */
	MemoryContext memory;		/* holds all of it */
} KgwSourceConnection;

static List *connections;		/* in TopMemoryContext */
static bool registered;

/* Of the follower: connections outlive a transaction, and a source has to answer by then. */
static bool keeps;
static int	patience;			/* milliseconds */

/* Have the source give up what it is doing for us.  That could not be done once is not tried twice. */
static void
cancel_query(KgwSourceConnection *c)
{
	c->stuck = c->stuck || !kgw_source_cancel(c->source, c->conninfo, c->conn, END_PATIENCE);
}

/*
 * Carry out a command when nothing may fail any more; false if it could not be.  It may
 * have to wait there, as for a slot that is in use; our locks are held all the while, and
 * nothing interrupts it.  A process that was told to end has left its query running.
 */
static bool
carry_out(KgwSourceConnection *c, const char *command)
{
	if (PQtransactionStatus(c->conn) == PQTRANS_ACTIVE)
		cancel_query(c);
	return PQsendQuery(c->conn, command) &&
		kgw_source_query_finish(c->conn, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), END_PATIENCE));
}

static void
close_connection(KgwSourceConnection *c)
{
	connections = list_delete_ptr(connections, c);
	PQfinish(c->conn);
	ReleaseExternalFD();
	MemoryContextDelete(c->memory);
}

/* Whether a connection could be used by another transaction. */
static bool
is_idle(KgwSourceConnection *c)
{
	return PQconsumeInput(c->conn) && PQstatus(c->conn) == CONNECTION_OK &&
		PQtransactionStatus(c->conn) == PQTRANS_IDLE;
}

/* At the end of a transaction, committed or not; one whose query was left running is not kept. */
static void
close_connections(void)
{
	List	   *all = list_copy(connections);
	ListCell   *lc;

	foreach(lc, all)
	{
		KgwSourceConnection *c = lfirst(lc);

		if (keeps && c->deeds == NIL && is_idle(c))
			c->used = false;
		else
			close_connection(c);
	}
	list_free(all);
}

static void
tell_of_failure(const KgwSourceConnection *c, const KgwDeed *deed)
{
	ereport(WARNING,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("could not clean up at source \"%s\"", c->source),
			 errdetail("The source went away just then, refused, or did not answer in time."),
			 errhint("Run this at the source: %s", deed->by_hand != NULL ? deed->by_hand : deed->command)));
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	ListCell   *lc;
	ListCell   *ld;

	if (connections == NIL)
		return;
	if (event == XACT_EVENT_PRE_PREPARE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot prepare a transaction that has been in touch with a source"),
				 errhint("Commit it.")));
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	foreach(lc, connections)
	{
		KgwSourceConnection *c = lfirst(lc);

		foreach(ld, c->deeds)
		{
			KgwDeed    *deed = lfirst(ld);

			if (deed->at_commit == (event == XACT_EVENT_COMMIT) && !carry_out(c, deed->command))
				tell_of_failure(c, deed);
		}
	}
	close_connections();
}

static void
undo_at_subtransaction_end(SubXactEvent event, SubTransactionId my_id, SubTransactionId parent_id,
					  void *arg)
{
	ListCell   *lc;
	ListCell   *ld;

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	foreach(lc, connections)
	{
		KgwSourceConnection *c = lfirst(lc);

		foreach(ld, c->deeds)
		{
			KgwDeed    *deed = lfirst(ld);

			if (deed->subxid != my_id)
				continue;
			if (event == SUBXACT_EVENT_COMMIT_SUB)
			{
				deed->subxid = parent_id;
				continue;
			}
			if (!deed->at_commit && !carry_out(c, deed->command))
				tell_of_failure(c, deed);
			c->deeds = foreach_delete_current(c->deeds, ld);
		}
	}
}

static KgwSourceConnection *
find(const char *source)
{
	ListCell   *lc;

	foreach(lc, connections)
	{
		if (strcmp(((KgwSourceConnection *) lfirst(lc))->source, source) == 0)
			return lfirst(lc);
	}
	return NULL;
}

/* Open a connection for this transaction, under the source's name. */
void
kgw_source_connection_open(const char *source, const char *conninfo)
{
	KgwSourceConnection *c;
	MemoryContext caller;
	MemoryContext memory;
	PGconn	   *conn;

	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterSubXactCallback(undo_at_subtransaction_end, NULL);
		registered = true;
	}
	if (!AcquireExternalFD())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("there is no file descriptor left for a connection to source \"%s\"", source)));
	conn = kgw_source_open(source, conninfo, NULL);
	if (PQstatus(conn) != CONNECTION_OK)
	{
		char	   *why = kgw_source_error_text(conn, NULL);

		PQfinish(conn);
		ReleaseExternalFD();
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("source \"%s\" cannot be reached", source),
				 errdetail("%s", why)));
	}
	memory = AllocSetContextCreate(TopMemoryContext, "kgwebhook source", ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(memory);
	c = palloc0(sizeof(KgwSourceConnection));
	c->source = pstrdup(source);
	c->conninfo = pstrdup(conninfo);
	c->conn = conn;
	c->used = true;
	c->memory = memory;
	MemoryContextSwitchTo(TopMemoryContext);
	connections = lappend(connections, c);
	MemoryContextSwitchTo(caller);
}

/* One that was kept is used if the source is still there, and still where it was. */
static KgwSourceConnection *
find_or_open(const char *source)
{
	KgwSourceConnection *c = find(source);

	if (c != NULL && !c->used && (!is_idle(c) || strcmp(kgw_source_string(source), c->conninfo) != 0))
	{
		close_connection(c);
		c = NULL;
	}
	if (c == NULL)
		kgw_source_connection_open(source, kgw_source_string(source));
	else
		c->used = true;
	return find(source);
}

/* From now on connections are kept for the next transaction, and a query has so many milliseconds. */
void
kgw_source_connection_keep(int milliseconds)
{
	keeps = true;
	patience = milliseconds;
}

/* Close those that were kept of sources that are followed no more; "sources" are names. */
void
kgw_source_connection_retain(List *sources)
{
	List	   *all = list_copy(connections);
	ListCell   *lc;
	ListCell   *ls;

	foreach(lc, all)
	{
		KgwSourceConnection *c = lfirst(lc);
		bool		followed = false;

		foreach(ls, sources)
			followed = followed || strcmp(c->source, lfirst(ls)) == 0;
		if (!followed)
			close_connection(c);
	}
	list_free(all);
}

/* The string that a source is connected by, in the caller's hands. */
const char *
kgw_source_connection_string(const char *source)
{
	return find_or_open(source)->conninfo;
}

/*
 * Run a query at the source, which returns one column; its values as text, in the
 * current memory context: a list of C strings, NULL for null.
 */
List *
kgw_source_connection_query(const char *source, const char *query)
{
	KgwSourceConnection *c = find_or_open(source);
	PGresult   *volatile result = NULL;
	PGresult   *next;
	List	   *values = NIL;
	TimestampTz until = patience == 0 ? DT_NOEND :
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), patience);
	bool		late = false;

	if (!PQsendQuery(c->conn, query))
		kgw_source_error_raise(source, c->conn, NULL);
	PG_TRY();
	{
		while ((next = kgw_source_query_next(c->conn, until, &late)) != NULL)
		{
			PQclear(result);
			result = next;
			if (PQstatus(c->conn) == CONNECTION_BAD)
				break;
		}
	}
	PG_CATCH();
	{
		cancel_query(c);
		PQclear(result);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (late)
	{
		/* asking it to cancel could wait as long */
		PQclear(result);
		close_connection(c);
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("source \"%s\" does not answer", source),
				 errdetail("There was no answer within %d ms.", patience)));
	}
	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
		kgw_source_error_raise(source, c->conn, result);
	for (int i = 0; i < PQntuples(result); i++)
	{
		char	   *value = PQgetvalue(result, i, 0);

		values = lappend(values, PQgetisnull(result, i, 0) ? NULL :
						 pstrdup(pg_any_to_server(value, strlen(value), PG_UTF8)));
	}
	PQclear(result);
	return values;
}

static void
add_deed(const char *source, const char *command, const char *by_hand, bool at_commit)
{
	KgwSourceConnection *c = find_or_open(source);
	MemoryContext caller = MemoryContextSwitchTo(c->memory);
	KgwDeed    *deed = palloc0(sizeof(KgwDeed));

	deed->command = pstrdup(command);
	deed->by_hand = by_hand != NULL ? pstrdup(by_hand) : NULL;
	deed->at_commit = at_commit;
	deed->subxid = GetCurrentSubTransactionId();
	c->deeds = lappend(c->deeds, deed);
	MemoryContextSwitchTo(caller);
}

/* A command for the source, should what was done in this transaction be rolled back. */
void
kgw_source_connection_at_abort(const char *source, const char *command)
{
	add_deed(source, command, NULL, false);
}

/* A command for the source once the transaction has committed. */
void
kgw_source_connection_at_commit(const char *source, const char *command, const char *by_hand)
{
	add_deed(source, command, by_hand, true);
}
