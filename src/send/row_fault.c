/*-------------------------------------------------------------------------
 *
 * row_fault.c
 *	  Why a row of the queue cannot be sent, before its payload is looked at.
 *
 * The trigger has judged a URL when it queued the row, but settings may have become stricter
 * since, and rows may have been restored.  So it is judged again for each attempt.  Of thousands
 * that wait for one endpoint the text is taken apart once.
 *
 * src/send/row_fault.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pg/guc.h"
#include "pure/url.h"
#include "send/row_fault.h"

/* What is wrong with a URL, or NULL.  The one before is often the same. */
static const char *
find_url_fault(const char *url)
{
	static char last[KGW_URL_MAX + 1];
	static KgwUrl parsed;
	size_t		len = strlen(url);
	const char *fault = NULL;

	if (last[0] == '\0' || strcmp(url, last) != 0)
	{
		last[0] = '\0';
		fault = kgw_url_parse(url, len, &parsed);
		if (fault == NULL)
			memcpy(last, url, len + 1);
	}
	if (fault == NULL)
		fault = kgw_url_judge(&parsed, kgw_settings.allow_http, kgw_settings.allowed_ports);
	return fault;
}

/* What is wrong with the row before its payload is even looked at, or NULL; good until the next call. */
const char *
kgw_row_fault(const KgwDelivery *row)
{
	static char reason[160];
	const char *fault;

	if (row->problem != NULL)
		return row->problem;
	fault = find_url_fault(row->url);
	if (fault == NULL)
		return NULL;
	snprintf(reason, sizeof(reason), "the URL cannot be called: %s", fault);
	return reason;
}
