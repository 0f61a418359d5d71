/*-------------------------------------------------------------------------
 *
 * own_consent.c
 *	  Which organizations' own URLs have to be those of verified subscriptions.
 *
 * An object's own URL is whatever a program has put into its row.  Where the platform
 * says so (kgwebhook.consent), such a URL gets an event only if its receiver has
 * consented: if a subscription of the organization that has answered its challenge has
 * the same URL, except for the query, or one above it.  So a URL for each object, with an
 * identifier in its path, needs one answer and not one each; an organization has a
 * hundred at most; and no payment causes a challenge.  What has to wait stays in the
 * table, as for a subscription that is paused.
 *
 * What is known of an organization is remembered, and read again when a table it is from
 * was written.  Where there is none that this is for it costs one comparison.
 *
 * src/settle/own_consent.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "pg/encoding.h"
#include "pg/saved_plan.h"
#include "pure/url.h"
#include "settle/own_consent.h"

/* Organizations remembered at a time; past that, all are forgotten. */
#define REMEMBERED_MAX 1024

/* Room for an organization's name in UTF-8, whatever the database has. */
#define ORG_SIZE 1024

typedef struct KgwConsent
{
	char		org_id[ORG_SIZE];	/* hash key */
	bool		required;
	TimestampTz changed_at;		/* since when that is so, or its last URL has answered; 0: never */
	char	   *urls;			/* that have answered, each ended by a newline; or NULL */
} KgwConsent;

static HTAB *consents;
static bool looked;				/* "some" is up to date */
static bool some;				/* whether there is an organization that this is for, or was */

/* Whether one by which rows may have been judged is remembered no more. */
static bool doubtful;

/* Whether there is anything to look up.  SPI is connected. */
static bool
look_for_one(void)
{
	static SPIPlanPtr kept;

	kgw_saved_plan(&kept, "SELECT FROM kgwebhook.consent LIMIT 1", 0, NULL);
	if (SPI_execute_plan(kept, NULL, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.consent");
	return SPI_processed > 0;
}

/* Read what is so for an organization; the URLs are in the current memory context. */
static void
read_consent(KgwConsent *consent)
{
	static SPIPlanPtr kept;
	Oid			types[] = {TEXTOID};
	Datum		args[] = {CStringGetTextDatum(kgw_encoding_from_wire(consent->org_id, strlen(consent->org_id)))};
	HeapTuple	tuple;
	TupleDesc	desc;
	Datum		value;
	bool		isnull;

	consent->required = false;
	consent->changed_at = 0;
	consent->urls = NULL;
	kgw_saved_plan(&kept,
			 "SELECT c.required, greatest(c.changed_at, u.verified_at), u.urls FROM kgwebhook.consent c,"
			 " LATERAL (SELECT pg_catalog.max(s.verified_at) AS verified_at,"
			 "   pg_catalog.string_agg(s.url OPERATOR(pg_catalog.||) E'\\n', '' ORDER BY s.subscription_id) AS urls"
			 "    FROM kgwebhook.subscription s"
			 "   WHERE s.org_id OPERATOR(pg_catalog.=) c.org_id AND s.verify AND s.challenge IS NULL"
			 "     AND s.verified_at IS NOT NULL) u"
			 " WHERE c.org_id OPERATOR(pg_catalog.=) $1", 1, types);
	if (SPI_execute_plan(kept, args, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.consent");
	if (SPI_processed == 0)
		return;
	tuple = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	consent->required = DatumGetBool(SPI_getbinval(tuple, desc, 1, &isnull));
	value = SPI_getbinval(tuple, desc, 2, &isnull);
	consent->changed_at = isnull ? 0 : DatumGetTimestampTz(value);
	consent->urls = SPI_getvalue(tuple, desc, 3);
	SPI_freetuptable(SPI_tuptable);
}

static bool
agrees(const KgwConsent *a, const KgwConsent *b)
{
	if (a->required != b->required || (a->urls == NULL) != (b->urls == NULL))
		return false;
	return a->urls == NULL || strcmp(a->urls, b->urls) == 0;
}

/* Remember how it is now. */
static void
replace(KgwConsent *consent, const KgwConsent *now)
{
	char	   *urls = now->urls == NULL ? NULL : MemoryContextStrdup(TopMemoryContext, now->urls);

	if (consent->urls != NULL)
		pfree(consent->urls);
	consent->required = now->required;
	consent->changed_at = now->changed_at;
	consent->urls = urls;
}

/* Start over: nothing is remembered. */
void
kgw_own_consent_forget(void)
{
	HASH_SEQ_STATUS scan;
	KgwConsent *consent;

	looked = doubtful = false;
	if (consents == NULL)
		return;
	hash_seq_init(&scan, consents);
	while ((consent = hash_seq_search(&scan)) != NULL)
	{
		if (consent->urls != NULL)
			pfree(consent->urls);
		hash_search(consents, consent->org_id, HASH_REMOVE, NULL);
	}
}

/* How it is for an organization, if that is remembered, else NULL. */
static KgwConsent *
find_consent(const char *org_id)
{
	if (consents == NULL || strlen(org_id) >= ORG_SIZE)
		return NULL;
	return hash_search(consents, org_id, HASH_FIND, NULL);
}

static KgwConsent *
load(const char *org_id)
{
	KgwConsent	now;
	KgwConsent *consent;
	bool		found;

	if (consents == NULL)
	{
		HASHCTL		ctl = {.keysize = ORG_SIZE, .entrysize = sizeof(KgwConsent)};

		consents = hash_create("kgwebhook consent", 16, &ctl, HASH_ELEM | HASH_STRINGS);
	}
	if (hash_get_num_entries(consents) >= REMEMBERED_MAX)
	{
		kgw_own_consent_forget();
		looked = doubtful = true;
	}
	strlcpy(now.org_id, org_id, ORG_SIZE);
	read_consent(&now);
	consent = hash_search(consents, org_id, HASH_ENTER, &found);
	if (!found)
		consent->urls = NULL;
	replace(consent, &now);
	return consent;
}

/* Whether a URL is one of those that have answered, or below it. */
static bool
has_answered(const char *urls, const char *url)
{
	for (const char *end; urls != NULL && (end = strchr(urls, '\n')) != NULL; urls = end + 1)
	{
		if (kgw_url_covers(urls, end - urls, url, strlen(url)))
			return true;
	}
	return false;
}

/* Whether a row goes to an object's own URL that has not consented.  SPI is connected. */
bool
kgw_own_consent_withholds(const KgwDelivery *row)
{
	KgwConsent *consent;

	if (row->subscription_id != 0)
		return false;
	if (!looked)
	{
		some = look_for_one();
		looked = true;
	}
	if (!some || strlen(row->org_id) >= ORG_SIZE)
		return false;
	consent = find_consent(row->org_id);
	if (consent == NULL)
		consent = load(row->org_id);
	return consent->required && !has_answered(consent->urls, row->url);
}

/*
 * Since when a row that goes to an object's own URL may go; what was queued before has been out of
 * its object's line.  0: it has not.
 */
TimestampTz
kgw_own_consent_changed_at(const KgwDelivery *row)
{
	KgwConsent *consent;

	if (row->subscription_id != 0 || (looked && !some))
		return 0;
	consent = find_consent(row->org_id);

	/* what has begun before, and was committed after, has waited as well */
	return consent == NULL ? DT_NOEND : consent->changed_at == 0 ? 0 : consent->changed_at + USECS_PER_MINUTE;
}

/*
 * Someone has written a table: read again what is remembered.  True when rows that were judged
 * by it have to be judged again.  SPI is connected.
 */
bool
kgw_own_consent_reread(void)
{
	HASH_SEQ_STATUS scan;
	KgwConsent *consent;
	bool		changed = doubtful;
	bool		before = some;

	if (!looked)
		return false;
	some = look_for_one();
	changed = changed || some != before;
	doubtful = false;
	if (consents == NULL)
		return changed;
	hash_seq_init(&scan, consents);
	while ((consent = hash_seq_search(&scan)) != NULL)
	{
		KgwConsent	now;

		strlcpy(now.org_id, consent->org_id, ORG_SIZE);
		read_consent(&now);
		changed = changed || !agrees(consent, &now);
		replace(consent, &now);
	}
	return changed;
}
