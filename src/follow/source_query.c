/*-------------------------------------------------------------------------
 *
 * source_query.c
 *	  Waiting for what a source answers.
 *
 * In a query of the caller's, a cancellation is heard at any time.  At the end of a
 * transaction nothing is: so there the wait has an end.  So it has in the follower, which
 * nobody cancels: a network that is cut, or a source that is stopped, says nothing.
 *
 * src/follow/source_query.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <poll.h>

#include "libpq-fe.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"

#include "follow/source_query.h"

/*
 * Wait for the answer of a query without missing a cancellation.  NULL at the end, when
 * the connection is lost, and when there is no answer "until" then, which is *late.
 */
PGresult *
kgw_source_query_next(PGconn *conn, TimestampTz until, bool *late)
{
	while (PQisBusy(conn))
	{
		long		left = TIMESTAMP_IS_NOEND(until) ? -1L :
			TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);
		int			events;

		*late = left == 0;
		if (*late)
			return NULL;
		events = WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_SOCKET_READABLE | WL_EXIT_ON_PM_DEATH |
								   (left > 0 ? WL_TIMEOUT : 0), PQsocket(conn), left,
								   PG_WAIT_EXTENSION);
		if (events & WL_LATCH_SET)
		{
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
		if ((events & WL_SOCKET_READABLE) && !PQconsumeInput(conn))
			return NULL;
	}
	return PQgetResult(conn);
}

/* Wait for an answer where no interrupt is served; false if there is none by then. */
static bool
answers_by(PGconn *conn, TimestampTz until)
{
	while (PQisBusy(conn))
	{
		struct pollfd fd = {.fd = PQsocket(conn), .events = POLLIN};
		long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);

		if (left <= 0)
			return false;
		if (poll(&fd, 1, (int) left) > 0 && !PQconsumeInput(conn))
			return false;
	}
	return true;
}

/* Read what is left of a query's results; false if one is an error, or does not come. */
bool
kgw_source_query_finish(PGconn *conn, TimestampTz until)
{
	bool		done = true;

	while (answers_by(conn, until))
	{
		PGresult   *result = PQgetResult(conn);
		ExecStatusType status = PQresultStatus(result);

		if (result == NULL)
			return done;
		done = done && (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK);
		PQclear(result);
	}
	return false;
}
