/*-------------------------------------------------------------------------
 *
 * arguments.c
 *	  Arguments that several SQL-callable functions take, judged at the door.
 *
 * A URL is judged by its text only.  Where its name leads is nothing to ask
 * here: it may lead elsewhere by the time of the first delivery, and a session
 * has no business in looking names up for its caller.
 *
 * src/api/arguments.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "api/arguments.h"
#include "pg/compat.h"
#include "pg/guc.h"
#include "pure/limits.h"

/*
 * A text argument.  NULL is refused and not passed over: who believes that
 * something was set up finds out days later, when nothing has been delivered.
 */
text *
kgw_arguments_text(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
	return PG_GETARG_TEXT_PP(n);
}

/* An organization's identifier that something is to be kept under. */
text *
kgw_arguments_org_id(FunctionCallInfo fcinfo, int n)
{
	text	   *org_id = kgw_arguments_text(fcinfo, n, "org_id");
	size_t		len = VARSIZE_ANY_EXHDR(org_id);

	if (len == 0 || len > KGW_ORG_ID_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("org_id is %s", len == 0 ? "empty" : "too long"),
				 errdetail("An organization's identifier has 1 to %d bytes.", KGW_ORG_ID_MAX),
				 errhint("Give the value that the watched table's column has.")));
	return org_id;
}

/* A URL that can be called, by its text, and what it is made of. */
const char *
kgw_arguments_url(FunctionCallInfo fcinfo, int n, KgwUrl *parsed)
{
	const char *url = text_to_cstring(kgw_arguments_text(fcinfo, n, "url"));
	const char *fault = kgw_url_parse(url, strlen(url), parsed);

	if (fault == NULL)
		fault = kgw_url_judge(parsed, kgw_settings.allow_http, kgw_settings.allowed_ports);
	if (fault != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("URL cannot be called"),
				 errdetail("The URL is refused: %s.", fault),
				 errhint("Give a URL such as https://merchant.example/webhooks.")));
	return url;
}
