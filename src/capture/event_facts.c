/*-------------------------------------------------------------------------
 *
 * event_facts.c
 *	  What an event is: whose, of which object, its name, its identifier, its URL.
 *
 * It is read from the row as it is, and nothing is refused for it: a payment must not
 * fail because of its event.  What no receiver, header or index could take is cut, so
 * that it can be written and shown, and the reason becomes the delivery's problem.  The
 * first reason counts; those that come after it often follow from it.
 *
 * Of a table that is followed from another database, identifier, time and number are made
 * of the row's version, and not drawn: on whichever node an event is made, it is the same
 * to its receivers.
 *
 * src/capture/event_facts.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "mb/pg_wchar.h"

#include "capture/event_facts.h"
#include "pure/limits.h"
#include "pure/url.h"

/* Bytes of an object's identifier, and of its status. */
#define OBJECT_ID_MAX 1024
#define STATUS_MAX 1024

/* Bytes that are kept of a URL: more than any may have. */
#define URL_KEPT (2 * KGW_URL_MAX)

/*
 * The organization, for what it is good for; one that is longer than any can be
 * has no secret and never will, and wouldn't fit into the log's index.
 */
const char *
kgw_event_facts_org_id(const KgwWatch *watch, HeapTuple row, TupleDesc desc, char **problem)
{
	char	   *id = kgw_payload_column_text(&watch->org, row, desc);

	if (id == NULL)
		return "default";
	if (strlen(id) > KGW_ORG_ID_MAX)
	{
		if (*problem == NULL)
			*problem = "the organization's identifier is longer than 255 bytes";
		id[pg_mbcliplen(id, strlen(id), KGW_ORG_ID_MAX)] = '\0';
	}
	return id;
}

/*
 * The object's identifier, for what it is good for; *problem says what is wrong
 * with it.  The log has an index by it, which takes no more than a third of a
 * page: a longer one could be delivered, but never be settled.
 */
const char *
kgw_event_facts_object_id(const KgwWatch *watch, HeapTuple row, TupleDesc desc, char **problem)
{
	char	   *id = kgw_payload_column_text(&watch->id, row, desc);
	char	   *fault = NULL;

	if (id == NULL)
		fault = "the column that identifies the object is null";
	else if (strlen(id) > OBJECT_ID_MAX)
	{
		fault = "the object's identifier is longer than 1024 bytes";
		id[pg_mbcliplen(id, strlen(id), OBJECT_ID_MAX)] = '\0';
	}
	if (fault != NULL && *problem == NULL)
		*problem = fault;
	return id != NULL ? id : "";
}

/* The event's name, for what it is good for; it goes in a header, and into each log row. */
const char *
kgw_event_facts_name(const KgwWatch *watch, const char *status, char **problem)
{
	int			len = strlen(status);

	if (len > STATUS_MAX)
	{
		if (*problem == NULL)
			*problem = "the status is longer than 1024 bytes";
		len = pg_mbcliplen(status, len, STATUS_MAX);
	}
	return psprintf("%s.%.*s", watch->event, len, status);
}

/*
 * Where the event goes because the object says so, or NULL.  One that is too long
 * for any URL stays too long, and so invalid, but is not kept whole.
 */
const char *
kgw_event_facts_own_url(const KgwWatch *watch, HeapTuple row, TupleDesc desc)
{
	char	   *url = kgw_payload_column_text(&watch->url, row, desc);

	if (url != NULL && strlen(url) > URL_KEPT)
		url[pg_mbcliplen(url, strlen(url), URL_KEPT)] = '\0';
	return url == NULL && watch->url_gone ? "" : url;
}

/*
 * Of a followed table, take the event's identifier, time and sequence from the
 * version of the row, so that they are the same wherever the event is made.  False when
 * it has no version.
 */
static bool
identify_by_version(const KgwWatch *watch, HeapTuple row, TupleDesc desc,
					const KgwNewDelivery *delivery, char webhook_id[KGW_WEBHOOK_ID_SIZE],
					KgwEventFacts *facts)
{
	char	   *text = kgw_payload_column_text(&watch->version, row, desc);
	Datum		version;
	bool		isnull;

	if (text == NULL)
		return false;
	kgw_enqueue_webhook_id_of(webhook_id, delivery, text);
	version = heap_getattr(row, watch->version.attnum, desc, &isnull);
	switch (watch->version.type)
	{
		case TIMESTAMPTZOID:
		case TIMESTAMPOID:
			if (TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(version)))
				break;
			facts->occurred_at = DatumGetTimestampTz(version);
			facts->sequence = facts->occurred_at +
				(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
			break;
		case INT8OID:
			facts->sequence = DatumGetInt64(version);
			break;
		case INT4OID:
			facts->sequence = DatumGetInt32(version);
			break;
	}
	return true;
}

/*
 * The rest of an event whose organization and name are known: identifiers, and what its
 * payloads are made of.  Its number is the delivery's.
 */
KgwPayloads
kgw_event_facts_identify(const KgwWatch *watch, HeapTuple row, TupleDesc desc, const char *old,
			   char webhook_id[KGW_WEBHOOK_ID_SIZE], KgwNewDelivery *delivery, char *problem)
{
	KgwPayloads payloads = {.watch = watch, .row = row, .desc = desc};
	const char *own_id = kgw_payload_own_webhook_id(watch, row, desc, &problem);

	delivery->object_id = kgw_event_facts_object_id(watch, row, desc, &problem);
	delivery->webhook_id = own_id != NULL ? own_id : webhook_id;
	payloads.problem = problem;
	payloads.facts = (KgwEventFacts) {
		.type = delivery->event, .event_id = delivery->webhook_id, .occurred_at = GetCurrentTimestamp(),
		.previous_status = old, .sequence = delivery->delivery_id, .org_id = delivery->org_id
	};
	if (!identify_by_version(watch, row, desc, delivery, webhook_id, &payloads.facts) && own_id == NULL)
		kgw_enqueue_webhook_id(webhook_id);
	return payloads;
}
