/*-------------------------------------------------------------------------
 *
 * urls.c
 *	  URLs for SQL, judged by the code that the trigger and the worker have:
 *	  kgwebhook.destination_of() and kgwebhook.covers_url().
 *
 * What puts deliveries back into the queue is written in SQL, and a dead letter's
 * URL may have been corrected by hand.  Its destination must then be what the trigger
 * would have made of it, by the same parser, or the delivery would stand in a line
 * that isn't its receiver's.  And what is said to wait for consent must be what does.
 *
 * src/api/urls.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "pg/compat.h"
#include "pure/url.h"

PG_FUNCTION_INFO_V1(kg_destination_of);
PG_FUNCTION_INFO_V1(kg_covers_url);

/*
 * kgwebhook.destination_of(url text) -> text
 */
Datum
kg_destination_of(PG_FUNCTION_ARGS)
{
	char	   *argument = TextDatumGetCString(PG_GETARG_DATUM(0));
	KgwUrl		url;

	if (kgw_url_parse(argument, strlen(argument), &url) != NULL)
		PG_RETURN_TEXT_P(cstring_to_text(""));
	PG_RETURN_TEXT_P(cstring_to_text(url.destination));
}

/*
 * kgwebhook.covers_url(answered text, url text) -> boolean
 */
Datum
kg_covers_url(PG_FUNCTION_ARGS)
{
	text	   *answered = PG_GETARG_TEXT_PP(0);
	text	   *url = PG_GETARG_TEXT_PP(1);

	PG_RETURN_BOOL(kgw_url_covers(VARDATA_ANY(answered), VARSIZE_ANY_EXHDR(answered),
								  VARDATA_ANY(url), VARSIZE_ANY_EXHDR(url)));
}
