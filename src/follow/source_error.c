/*-------------------------------------------------------------------------
 *
 * source_error.c
 *	  What a source, or libpq, says of what it could not do.
 *
 * An error at the source becomes ours, with its code, detail and hint: the remedy is often
 * in those.  libpq's own messages end in newlines, and have no code.
 *
 * src/follow/source_error.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "libpq-fe.h"

#include "mb/pg_wchar.h"

#include "follow/source_error.h"

/* What libpq or the source says, as text of this database. */
char *
kgw_source_error_text(PGconn *conn, PGresult *result)
{
	const char *primary = result != NULL ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	char	   *told = pstrdup(primary != NULL ? primary : PQerrorMessage(conn));

	for (char *p = told; *p != '\0'; p++)
	{
		if (*p == '\n')
			*p = ' ';
	}
	for (size_t len = strlen(told); len > 0 && told[len - 1] == ' '; len--)
		told[len - 1] = '\0';
	return pg_any_to_server(told, strlen(told), PG_UTF8);
}

/* A field of a result's error, copied; NULL when there is none. */
static char *
field_of(PGresult *result, int field)
{
	const char *value = PQresultErrorField(result, field);

	return value != NULL ? pg_any_to_server(value, strlen(value), PG_UTF8) : NULL;
}

/* The source has refused a query: its error becomes ours. */
void
kgw_source_error_raise(const char *source, PGconn *conn, PGresult *result)
{
	char	   *message = kgw_source_error_text(conn, result);
	char	   *detail = result != NULL ? field_of(result, PG_DIAG_MESSAGE_DETAIL) : NULL;
	char	   *hint = result != NULL ? field_of(result, PG_DIAG_MESSAGE_HINT) : NULL;
	const char *state = result != NULL ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	int			code = state != NULL && strlen(state) == 5 ?
		MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4]) :
		ERRCODE_CONNECTION_FAILURE;

	PQclear(result);
	ereport(ERROR,
			(errcode(code),
			 errmsg("source \"%s\": %s", source, message),
			 detail != NULL ? errdetail("%s", detail) : 0,
			 hint != NULL ? errhint("%s", hint) : 0));
}
