/*-------------------------------------------------------------------------
 *
 * destination_of.c
 *	  kgwebhook.destination_of(): the destination of a URL, for SQL.
 *
 * What puts deliveries back into the queue is written in SQL, and a dead letter's
 * URL may have been corrected by hand.  Its destination must then be what the trigger
 * would have made of it, by the same parser, or the delivery would stand in a line
 * that isn't its receiver's.
 *
 * src/api/destination_of.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "pure/url.h"

PG_FUNCTION_INFO_V1(kg_destination_of);

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
