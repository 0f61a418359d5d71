/*-------------------------------------------------------------------------
 *
 * subscribe.c
 *	  kg_subscribe(): an organization's events go to a URL, besides the objects'
 *	  own; and kg_update_subscription().
 *
 * All that can be wrong with a subscription is refused here, so that the
 * trigger, which runs inside of payments, has nothing to judge.  An
 * organization has a hundred at most: each is a row that every one of its
 * payments pays for.  Two sessions at once may make it one more, which costs
 * nobody anything; a lock against that would be waited for by others.
 *
 * src/api/subscribe.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "api/arguments.h"
#include "api/caller.h"
#include "api/subscribe.h"
#include "pure/event_pattern.h"

PG_FUNCTION_INFO_V1(kg_subscribe);
PG_FUNCTION_INFO_V1(kg_update_subscription);

/* Subscriptions of one organization, and patterns of one subscription. */
#define SUBSCRIPTIONS_MAX 100
#define PATTERNS_MAX 100

/* The options of a subscription, and the argument that is the first of them. */
#define FIRST_OPTION 4
static const Oid option_types[] = {TEXTOID, JSONBOID, NUMERICOID};
#define VERIFY_OPTION 7

/* Bytes of a description. */
#define DESCRIPTION_MAX 1000

static void
judge_pattern(Datum element, bool isnull)
{
	text	   *pattern = isnull ? NULL : DatumGetTextPP(element);
	const char *fault = isnull ? "it is null" :
		kgw_event_pattern_judge(VARDATA_ANY(pattern), VARSIZE_ANY_EXHDR(pattern));

	if (fault != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not a pattern of events",
						isnull ? "" : text_to_cstring(pattern)),
				 errdetail("The pattern is refused: %s.", fault),
				 errhint("Give names such as payment_intent.success, or patterns such as"
						 " payment_intent.*, *.success and *.")));
}

static ArrayType *
events_argument(FunctionCallInfo fcinfo, int n)
{
	ArrayType  *events;
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("events must not be null"),
				 errhint("Omit it to get all events.")));
	events = PG_GETARG_ARRAYTYPE_P(n);
	deconstruct_array(events, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	if (count == 0 || count > PATTERNS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg(count == 0 ? "events is empty" : "events has too many elements"),
				 errdetail("A subscription has 1 to %d names or patterns of events.", PATTERNS_MAX),
				 errhint("Omit it to get all events.")));
	for (int i = 0; i < count; i++)
		judge_pattern(elements[i], nulls[i]);

	/* a matrix of them is a list of them */
	return construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT);
}

static text *
description_argument(FunctionCallInfo fcinfo, int n)
{
	text	   *description = PG_ARGISNULL(n) ? NULL : PG_GETARG_TEXT_PP(n);

	if (description != NULL && VARSIZE_ANY_EXHDR(description) > DESCRIPTION_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("description is too long"),
				 errdetail("It has %d bytes at most.", DESCRIPTION_MAX)));
	return description;
}

/* A number that a query returns; false when it returns no row. */
static bool
read_int8(const char *query, int nargs, Oid *types, Datum *args, const char *nulls,
			int64 *number)
{
	bool		isnull;

	/* no limit: an INSERT that is cut short by one doesn't fire its statement trigger */
	if (SPI_execute_with_args(query, nargs, types, args, nulls, false, 0) < 0)
		elog(ERROR, "could not use kgwebhook.subscription");
	if (SPI_processed == 0)
		return false;
	*number = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
										  &isnull));
	return true;
}

static void
refuse_too_many(Datum org_id)
{
	Oid			types[] = {TEXTOID};
	int64		count = 0;

	(void) read_int8("SELECT pg_catalog.count(*) FROM kgwebhook.subscription"
					   " WHERE org_id OPERATOR(pg_catalog.=) $1", 1, types, &org_id, NULL, &count);
	if (count >= SUBSCRIPTIONS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("organization \"%s\" has " INT64_FORMAT " subscriptions",
						TextDatumGetCString(org_id), count),
				 errdetail("Each event is a row in the queue for each of them; %d is the most there can be.",
						   SUBSCRIPTIONS_MAX),
				 errhint("Call kg_unsubscribe() for one that is not needed;"
						 " kgwebhook.subscriptions has them.")));
}

/* There is one of this organization to this URL. */
static void
refuse_duplicate(Datum org_id, Datum url)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		args[] = {org_id, url};
	int64		subscription_id = 0;

	(void) read_int8("SELECT subscription_id FROM kgwebhook.subscription"
					   " WHERE org_id OPERATOR(pg_catalog.=) $1 AND url OPERATOR(pg_catalog.=) $2",
					   2, types, args, NULL, &subscription_id);
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("organization \"%s\" is subscribed to this URL already",
					TextDatumGetCString(org_id)),
			 errdetail("It is subscription " INT64_FORMAT ".", subscription_id),
			 errhint("kg_update_subscription() changes which events are sent there.")));
}

/*
 * Both functions have the same options, from the fourth argument on; what they may be and what
 * they do is install/subscriptions.sql's.  Those that are NULL stay as they are, and are judged again
 * when what they are about has changed.
 */
static void
set_options(FunctionCallInfo fcinfo, int64 subscription_id, bool changed)
{
	Oid			types[1 + lengthof(option_types)] = {INT8OID};
	Datum		args[1 + lengthof(option_types)] = {Int64GetDatum(subscription_id)};
	char		nulls[1 + lengthof(option_types)] = {' '};
	bool		given = changed;

	for (size_t i = 0; i < lengthof(option_types); i++)
	{
		types[1 + i] = option_types[i];
		args[1 + i] = PG_GETARG_DATUM(FIRST_OPTION + i);
		nulls[1 + i] = PG_ARGISNULL(FIRST_OPTION + i) ? 'n' : ' ';
		given = given || !PG_ARGISNULL(FIRST_OPTION + i);
	}
	if (given && SPI_execute_with_args("SELECT kgwebhook.set_options($1, $2, $3, $4)",
									   1 + lengthof(option_types), types, args, nulls, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not write kgwebhook.subscription");
}

/* Whether its receiver has to answer a challenge first: a new one, or a new URL, has not answered any. */
static void
set_verify(FunctionCallInfo fcinfo, int64 subscription_id, bool may_change)
{
	Oid			types[] = {INT8OID, BOOLOID};
	Datum		args[] = {Int64GetDatum(subscription_id), PG_GETARG_DATUM(VERIFY_OPTION)};

	if (!may_change && PG_ARGISNULL(VERIFY_OPTION))
		return;
	if (SPI_execute_with_args("SELECT kgwebhook.set_verify($1, $2)", 2, types, args,
							  PG_ARGISNULL(VERIFY_OPTION) ? " n" : NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not write kgwebhook.subscription");
}

/*
 * kg_subscribe(org_id text, url text, events text[], description text, shape text,
 * filter jsonb, rate_limit numeric, verify boolean) -> bigint
 */
Datum
kg_subscribe(PG_FUNCTION_ARGS)
{
	KgwUrl		parsed;
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID};
	Datum		args[5];
	char		nulls[] = "     ";
	text	   *description;
	int64		subscription_id;

	args[0] = PointerGetDatum(kgw_arguments_org_id(fcinfo, 0));
	args[1] = CStringGetTextDatum(kgw_arguments_url(fcinfo, 1, &parsed));
	args[2] = CStringGetTextDatum(parsed.destination);
	args[3] = PointerGetDatum(events_argument(fcinfo, 2));
	description = description_argument(fcinfo, 3);
	args[4] = PointerGetDatum(description);
	if (description == NULL)
		nulls[4] = 'n';

	SPI_connect();
	kgw_caller_check_organization(DatumGetTextPP(args[0]));
	refuse_too_many(args[0]);
	if (!read_int8("INSERT INTO kgwebhook.subscription (org_id, url, destination, events, description)"
					 " VALUES ($1, $2, $3, $4, $5)"
					 " ON CONFLICT ON CONSTRAINT subscription_org_id_url_key DO NOTHING"
					 " RETURNING subscription_id", 5, types, args, nulls, &subscription_id))
		refuse_duplicate(args[0], args[1]);
	set_options(fcinfo, subscription_id, false);
	set_verify(fcinfo, subscription_id, true);
	SPI_finish();
	PG_RETURN_INT64(subscription_id);
}

/* An argument that may be left out: its value, or NULL for the present one. */
typedef struct KgwArguments
{
	Datum		values[6];
	char		nulls[7];
} KgwArguments;

static void
set_argument(KgwArguments *arguments, int n, const void *value)
{
	arguments->values[n] = PointerGetDatum(value);
	arguments->nulls[n] = value == NULL ? 'n' : ' ';
}

/*
 * The subscription's organization, with its row locked; an error when the caller has none
 * such.  SPI is connected, and has the text.
 */
Datum
kgw_subscribe_lock(int64 subscription_id)
{
	Oid			types[] = {INT8OID, TEXTOID};
	text	   *own = kgw_caller_organization();
	Datum		args[] = {Int64GetDatum(subscription_id), PointerGetDatum(own)};
	bool		isnull;

	if (SPI_execute_with_args("SELECT org_id FROM kgwebhook.subscription"
							  " WHERE subscription_id OPERATOR(pg_catalog.=) $1"
							  "   AND ($2 IS NULL OR org_id OPERATOR(pg_catalog.=) $2) FOR UPDATE",
							  2, types, args, own == NULL ? " n" : "  ", false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.subscription");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("subscription " INT64_FORMAT " does not exist", subscription_id),
				 errhint("SELECT * FROM kgwebhook.subscriptions shows the existing ones.")));
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
}

/* Refuse a URL that another subscription of the organization has. */
static void
check_other_urls(Datum org_id, Datum url, int64 subscription_id)
{
	Oid			types[] = {TEXTOID, TEXTOID, INT8OID};
	Datum		args[] = {org_id, url, Int64GetDatum(subscription_id)};
	int64		other;

	if (read_int8("SELECT subscription_id FROM kgwebhook.subscription"
				  " WHERE org_id OPERATOR(pg_catalog.=) $1 AND url OPERATOR(pg_catalog.=) $2"
				  "   AND subscription_id OPERATOR(pg_catalog.<>) $3", 3, types, args, NULL, &other))
		refuse_duplicate(org_id, url);
}

/* What waits for it in this table goes to the new URL. */
static void
move_waiting(const char *table, Datum org_id, const KgwArguments *arguments)
{
	Oid			types[] = {INT8OID, TEXTOID, TEXTOID, TEXTOID};
	Datum		args[] = {arguments->values[0], arguments->values[1], arguments->values[2], org_id};
	char	   *command = psprintf("UPDATE kgwebhook.%s SET url = $2, destination = $3"
								   " WHERE org_id OPERATOR(pg_catalog.=) $4 AND subscription_id OPERATOR(pg_catalog.=) $1"
								   "   AND url OPERATOR(pg_catalog.<>) $2", table);

	if (SPI_execute_with_args(command, 4, types, args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write kgwebhook.%s", table);
}

/*
 * kg_update_subscription(subscription_id bigint, url text, events text[], description text,
 * shape text, filter jsonb, rate_limit numeric, verify boolean)
 *
 * A new URL has not failed yet, nor answered a challenge; whether the subscription is
 * paused or disabled stays as it is.
 */
Datum
kg_update_subscription(PG_FUNCTION_ARGS)
{
	Oid			types[] = {INT8OID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID};
	KgwArguments arguments = {.nulls = "      "};
	KgwUrl		parsed;
	bool		new_url = !PG_ARGISNULL(1);
	Datum		org_id;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("subscription_id must not be null")));
	arguments.values[0] = PG_GETARG_DATUM(0);
	set_argument(&arguments, 1, new_url ? cstring_to_text(kgw_arguments_url(fcinfo, 1, &parsed)) : NULL);
	set_argument(&arguments, 2, new_url ? cstring_to_text(parsed.destination) : NULL);
	set_argument(&arguments, 3, PG_ARGISNULL(2) ? NULL : events_argument(fcinfo, 2));
	set_argument(&arguments, 4, description_argument(fcinfo, 3));

	SPI_connect();
	org_id = kgw_subscribe_lock(PG_GETARG_INT64(0));
	if (new_url)
		check_other_urls(org_id, arguments.values[1], PG_GETARG_INT64(0));
	if (SPI_execute_with_args("UPDATE kgwebhook.subscription s"
							  "   SET failing_since = CASE WHEN $2 IS NULL OR $2 OPERATOR(pg_catalog.=) s.url THEN s.failing_since END,"
							  "       verified_at = CASE WHEN $2 IS NULL OR $2 OPERATOR(pg_catalog.=) s.url THEN s.verified_at END,"
							  "       challenge = CASE WHEN $2 IS NULL OR $2 OPERATOR(pg_catalog.=) s.url THEN s.challenge END,"
							  "       url = coalesce($2, s.url), destination = coalesce($3, s.destination),"
							  "       events = coalesce($4, s.events), description = coalesce($5, s.description)"
							  " WHERE s.subscription_id OPERATOR(pg_catalog.=) $1",
							  5, types, arguments.values, arguments.nulls, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write kgwebhook.subscription");
	if (new_url)
	{
		move_waiting("queue", org_id, &arguments);
		move_waiting("held", org_id, &arguments);
	}
	set_options(fcinfo, PG_GETARG_INT64(0), !PG_ARGISNULL(2));
	set_verify(fcinfo, PG_GETARG_INT64(0), new_url);
	SPI_finish();
	PG_RETURN_VOID();
}
