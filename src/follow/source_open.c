/*-------------------------------------------------------------------------
 *
 * source_open.c
 *	  Connecting to a source.
 *
 * The user's string is taken as it is, with what is ours added: a source that can't be
 * reached must not keep us waiting, nor one that goes silent, and what it says is to be in
 * UTF-8 and in plain settings.  Limits of the string's own count instead of ours.
 *
 * Of one that goes silent while we wait for its answer only the kernel's probes can tell.
 * By default they begin after two hours; by ours all is over in half a minute.
 *
 * src/follow/source_open.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "libpq-fe.h"

#include "follow/source_open.h"

/* The string's options, and at most so many of ours. */
#define OPTIONS_MAX 64
#define OWN_MAX 8

typedef struct KgwOptions
{
	const char *names[OPTIONS_MAX + 1];
	const char *values[OPTIONS_MAX + 1];
	int			count;
} KgwOptions;

static void
add_option(KgwOptions *options, const char *name, const char *value)
{
	options->names[options->count] = name;
	options->values[options->count++] = value;
}

/*
 * Connect; PQstatus() says whether that went well.  A connection "beside" another goes to the same
 * server, where a string names several, and is an ordinary one: there may be no room for
 * one more that replicates.
 */
PGconn *
kgw_source_open(const char *source, const char *conninfo, PGconn *beside)
{
	PQconninfoOption *parsed = PQconninfoParse(conninfo, NULL);
	KgwOptions	options = {0};
	PGconn	   *conn;

	if (parsed == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("the connection string of source \"%s\" cannot be parsed", source),
				 errhint("Use keywords and values, as in host=... dbname=... user=..., or a URI postgresql://...")));
	add_option(&options, "connect_timeout", "5");
	add_option(&options, "tcp_user_timeout", "10000");
	add_option(&options, "keepalives_idle", "15");
	add_option(&options, "keepalives_interval", "5");
	add_option(&options, "keepalives_count", "3");
	for (PQconninfoOption *option = parsed; option->keyword != NULL && options.count < OPTIONS_MAX - OWN_MAX; option++)
	{
		if (option->val != NULL)
			add_option(&options, option->keyword, option->val);
	}
	if (beside == NULL)
		add_option(&options, "replication", "database");
	else
	{
		add_option(&options, "host", PQhost(beside));
		add_option(&options, "hostaddr", PQhostaddr(beside));
		add_option(&options, "port", PQport(beside));
		add_option(&options, "connect_timeout", "5");
	}
	add_option(&options, "client_encoding", "UTF8");
	add_option(&options, "options", "-c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=1 -c timezone=UTC -c bytea_output=hex -c search_path=");
	add_option(&options, "fallback_application_name", "kgwebhook");
	conn = PQconnectdbParams(options.names, options.values, false);
	PQconninfoFree(parsed);
	return conn;
}
