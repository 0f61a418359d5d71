/*-------------------------------------------------------------------------
 *
 * merchant_page.c
 *	  The page of one organization, kg_dashboard(org_id): its endpoints, what they
 *	  have missed, and its latest attempts with what was sent and answered.
 *
 * A merchant reads it: every query names the organization, nothing here is of the
 * server or of others at the same host, and what only an operator can
 * understand (names of settings, states of the circuit breaker) is said in other words.
 * Frame, cells and escaping are those of the operator's page.
 *
 * What it reads has a limit, however much waits or was sent: counts come from indexes alone,
 * and rows are an organization's first or last, as many as LOOKED_AT.  Where a count
 * is of those only, it says so.
 *
 * src/dashboard/merchant_page.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "dashboard/html.h"
#include "dashboard/page.h"

PG_FUNCTION_INFO_V1(kg_merchant_dashboard);

/* Characters of a URL, of an error, of a body. */
#define URL_MAX 160
#define ERROR_MAX 200
#define BODY_MAX 2000

/* Columns of the query below, from 1. */
enum
{
	E_URL = 1, E_STATE, E_EVENTS, E_WAITING, E_SENT, E_ACKNOWLEDGED, E_MEDIAN, E_P95, E_ERROR, E_LAST, E_AT_LEAST, E_LATEST_ONLY
};

/* Rows of an organization's that are looked at, of the queue and of the log. */
#define LOOKED_AT "10000"

/* By this index, and no other: see kgwebhook.backlog. */
#define FIRST_WAITING \
"(SELECT * FROM kgwebhook.queue w WHERE w.org_id BETWEEN $1 AND $1 ORDER BY w.org_id, w.xid, w.delivery_id LIMIT " LOOKED_AT ")"

/*
 * Subscriptions, and the objects' own URLs that were called or are to be called.  How much waits
 * for a subscription is told by its index.
 */
static const char endpoints[] =
"WITH latest AS MATERIALIZED ("
"  SELECT coalesce(l.subscription_id, 0) AS id, CASE WHEN l.subscription_id IS NULL THEN split_part(l.url, '?', 1) ELSE '' END AS own,"
"         l.outcome, l.error, l.duration_ms, l.started_at, l.attempt_id, l.is_test"
"    FROM kgwebhook.delivery_log l WHERE l.org_id BETWEEN $1 AND $1"
"   ORDER BY l.org_id DESC, l.delivery_id DESC LIMIT " LOOKED_AT "),"
" recent AS MATERIALIZED (SELECT r.id, r.own, count(*) AS sent, count(*) FILTER (WHERE r.outcome = 'acknowledged') AS acknowledged,"
"                   round(percentile_cont(0.5) WITHIN GROUP (ORDER BY r.duration_ms)::numeric)::int8 AS median,"
"                   round(percentile_cont(0.95) WITHIN GROUP (ORDER BY r.duration_ms)::numeric)::int8 AS p95,"
"                   (array_agg(r.outcome <> 'acknowledged' ORDER BY r.attempt_id DESC))[1] AS bad,"
"                   (array_agg(r.error ORDER BY r.attempt_id DESC))[1] AS error, max(r.started_at) AS last_at"
"              FROM latest r WHERE NOT r.is_test AND r.outcome <> 'superseded' AND r.started_at > now() - interval '1 day'"
"             GROUP BY 1, 2),"
" first AS MATERIALIZED (SELECT split_part(q.url, '?', 1) AS own, q.subscription_id FROM " FIRST_WAITING " q),"
" waiting AS MATERIALIZED (SELECT 0::int8 AS id, f.own, count(*) AS waiting FROM first f WHERE f.subscription_id IS NULL GROUP BY 2"
"             UNION ALL"
"             SELECT s.subscription_id, '',"
"                    (SELECT count(*) FROM kgwebhook.queue q WHERE q.subscription_id BETWEEN s.subscription_id AND s.subscription_id)"
"               FROM kgwebhook.subscription s WHERE s.org_id = $1),"
" endpoint AS (SELECT s.subscription_id AS id, '' AS own, s.url,"
"                     CASE WHEN s.disabled_at IS NOT NULL THEN 'disabled' WHEN s.paused_at IS NOT NULL THEN 'paused'"
"                          WHEN s.challenge IS NOT NULL THEN 'unverified' WHEN s.failing_since IS NOT NULL THEN 'failing' ELSE 'ok' END AS state,"
"                     array_to_string(s.events, ', ') AS events"
"                FROM kgwebhook.subscription s WHERE s.org_id = $1"
"              UNION ALL"
"              SELECT 0, u.own, u.own, NULL, 'its objects'' own URL'"
"                FROM (SELECT r.own FROM recent r WHERE r.id = 0 UNION SELECT w.own FROM waiting w WHERE w.id = 0) u)"
" SELECT e.url, coalesce(e.state, CASE WHEN kgwebhook.lacks_consent(coalesce($1, ''), e.url) THEN 'unverified' WHEN a.bad THEN 'failing' ELSE 'ok' END), e.events, coalesce(w.waiting, 0),"
"        coalesce(a.sent, 0), coalesce(a.acknowledged, 0), a.median, a.p95, CASE WHEN a.bad THEN regexp_replace(a.error, 'kgwebhook[.][a-z_]+', 'the retry schedule', 'g') END, a.last_at,"
"        e.id = 0 AND (SELECT count(*) = " LOOKED_AT " FROM first),"
"        (SELECT count(*) = " LOOKED_AT " AND min(l.started_at) > now() - interval '1 day' FROM latest l)"
"   FROM endpoint e"
"   LEFT JOIN waiting w ON w.id = e.id AND w.own = e.own"
"   LEFT JOIN recent a ON a.id = e.id AND a.own = e.own"
"  ORDER BY 4 DESC, e.url LIMIT 50";

enum
{
	M_DELIVERY_ID = 1, M_OBJECT_ID, M_EVENT, M_URL, M_SINCE, M_WHY, M_NEXT
};

/* What was given up, and what waits although it was tried. */
static const char missed[] =
"SELECT m.* FROM ("
"  (SELECT d.delivery_id, d.object_id, d.event, d.url, d.died_at AS since,"
"          'given up: ' || regexp_replace(d.reason, 'kgwebhook[.][a-z_]+', 'the retry schedule', 'g'), NULL::timestamptz"
"     FROM kgwebhook.dead_letter d WHERE d.delivery_id = ANY (ARRAY("
"            SELECT l.delivery_id FROM (SELECT * FROM kgwebhook.dead_letter a WHERE a.org_id BETWEEN $1 AND $1"
"                                        ORDER BY a.org_id DESC, a.xid DESC, a.delivery_id DESC LIMIT 1000) l"
"             ORDER BY l.died_at DESC LIMIT 50)))"
"  UNION ALL"
"  (SELECT q.delivery_id, q.object_id, q.event, q.url, q.enqueued_at,"
"          'tried ' || CASE q.attempts WHEN 1 THEN 'once' ELSE q.attempts || ' times' END, q.next_attempt_at"
"     FROM " FIRST_WAITING " q WHERE q.attempts > 0 ORDER BY q.xid, q.delivery_id LIMIT 50)) m"
"  ORDER BY m.since DESC";

enum
{
	A_STARTED_AT = 1, A_DELIVERY_ID, A_OBJECT_ID, A_EVENT, A_URL, A_ATTEMPT, A_OUTCOME, A_STATUS, A_ERROR, A_DURATION,
	A_SENT, A_ANSWER
};

/* The latest attempts: of the latest deliveries, and of any among the latest of all organizations'. */
static const char latest_attempts[] =
"SELECT l.started_at, l.delivery_id, l.object_id, l.event, l.url, l.attempt,"
"       CASE l.outcome WHEN 'superseded' THEN 'not sent' WHEN 'timed_out' THEN 'timed out' ELSE l.outcome END,"
"       l.response_status,"
"       CASE WHEN l.outcome = 'superseded' AND l.object_id = l.webhook_id AND l.event = 'endpoint.challenge' THEN 'it was replaced by a newer challenge'"
"            WHEN l.outcome = 'superseded' THEN 'a newer status of the object went first'"
"                      ELSE regexp_replace(l.error, 'kgwebhook[.][a-z_]+', 'the retry schedule', 'g') END,"
"       round(l.duration_ms)::int8, regexp_replace(l.request_body, ',\"signature\":\"[0-9a-f]{64}\"}$', '}'), l.response_body"
"  FROM (SELECT u.attempt_id"
"          FROM ((SELECT a.attempt_id FROM kgwebhook.delivery_log a WHERE a.org_id BETWEEN $1 AND $1"
"                  ORDER BY a.org_id DESC, a.delivery_id DESC LIMIT 200)"
"                UNION"
"                SELECT a.attempt_id FROM kgwebhook.delivery_log a"
"                 WHERE a.attempt_id BETWEEN (SELECT s.last_value - 5000 FROM kgwebhook.attempt_id_seq s)"
"                                        AND (SELECT s.last_value FROM kgwebhook.attempt_id_seq s) AND a.org_id = $1) u"
"         ORDER BY u.attempt_id DESC LIMIT 50) n"
"  JOIN kgwebhook.delivery_log l ON l.attempt_id = n.attempt_id ORDER BY l.attempt_id DESC";

static SPITupleTable *
read_for(Datum org_id, const char *query)
{
	Oid			types[] = {TEXTOID};

	return kgw_query_rows_read(query, 1, types, &org_id);
}

static void
state_cell(KgwPage *page, const char *state)
{
	kgw_table_cells_begin(page, "State", "key");
	appendStringInfo(&page->out, "<span class=\"state %s\">%s</span>",
					 strcmp(state, "ok") == 0 ? "ok" : strcmp(state, "paused") == 0 ? "note" : "warning", state);
	kgw_table_cells_end(page);
}

/* "at least 1,200" */
static void
waiting_cell(KgwPage *page, int64 waiting, bool at_least)
{
	kgw_table_cells_begin(page, "Waiting", "n");
	if (at_least)
		appendStringInfoString(&page->out, "at least ");
	kgw_html_count(&page->out, waiting);
	kgw_table_cells_end(page);
}

/* "98 % of 1,200" */
static void
success_cell(KgwPage *page, int64 sent, int64 acknowledged)
{
	kgw_table_cells_begin(page, "Acknowledged", "n");
	if (sent == 0)
		appendStringInfoString(&page->out, "nothing sent");
	else
	{
		appendStringInfo(&page->out, INT64_FORMAT " %% of ", acknowledged * 100 / sent);
		kgw_html_count(&page->out, sent);
	}
	kgw_table_cells_end(page);
}

static void
latency_cell(KgwPage *page, const KgwFacts *facts)
{
	kgw_table_cells_begin(page, "Answers after", "n");
	if (!kgw_query_rows_null(facts, E_MEDIAN))
		appendStringInfo(&page->out, INT64_FORMAT " ms <small>95 %%: " INT64_FORMAT " ms</small>",
						 kgw_query_rows_count(facts, E_MEDIAN), kgw_query_rows_count(facts, E_P95));
	kgw_table_cells_end(page);
}

static void
draw_endpoints(KgwPage *page, Datum org_id)
{
	static const char *const columns[] = {"Endpoint", "State", "#Waiting", "#Acknowledged", "#Answers after", "Last error", NULL};
	KgwFacts	facts = {read_for(org_id, endpoints), 0};

	appendStringInfo(&page->out, "<section id=\"endpoints\"><h2>Endpoints, %s</h2>\n",
					 facts.table->numvals > 0 && kgw_query_rows_flag(&facts, E_LATEST_ONLY) ? "latest attempts" : "last 24 hours");
	if (facts.table->numvals == 0)
		appendStringInfoString(&page->out, "<p class=\"none\">There is none yet: <code>kg_subscribe()</code> adds one.</p>\n");
	else
		kgw_table_cells_begin_table(page, columns);
	for (; facts.row < facts.table->numvals; facts.row++)
	{
		kgw_table_cells_begin_row(page, "row");
		kgw_table_cells_begin(page, "Endpoint", "url key");
		kgw_html_text(&page->out, kgw_query_rows_text(&facts, E_URL), URL_MAX);
		appendStringInfoString(&page->out, " <small>");
		kgw_html_text(&page->out, kgw_query_rows_text(&facts, E_EVENTS), URL_MAX);
		appendStringInfoString(&page->out, "</small>");
		kgw_table_cells_end(page);
		state_cell(page, kgw_query_rows_text(&facts, E_STATE));
		waiting_cell(page, kgw_query_rows_count(&facts, E_WAITING), kgw_query_rows_flag(&facts, E_AT_LEAST));
		success_cell(page, kgw_query_rows_count(&facts, E_SENT), kgw_query_rows_count(&facts, E_ACKNOWLEDGED));
		latency_cell(page, &facts);
		kgw_table_cells_cell(page, "Last error", "wide", kgw_query_rows_text(&facts, E_ERROR), ERROR_MAX);
		appendStringInfoString(&page->out, "</tr>\n");
	}
	if (facts.row > 0)
		kgw_table_cells_end_table(page);
	appendStringInfoString(&page->out, "</section>\n");
}

/* Returns how many there are, up to the limit. */
static int64
draw_missed(KgwPage *page, Datum org_id)
{
	static const char *const columns[] = {"Object", "Endpoint", "Since", "Why", "Next try", NULL};
	KgwFacts	facts = {read_for(org_id, missed), 0};

	appendStringInfoString(&page->out, "<section id=\"missed\"><h2>Not received</h2>\n");
	if (facts.table->numvals == 0)
		appendStringInfoString(&page->out, "<p class=\"none\">Nothing: what was tried has been received.</p>\n");
	else
	{
		appendStringInfoString(&page->out,
							   "<p class=\"note\"><code>kg_redeliver(delivery)</code> sends one again; "
							   "<code>kg_events_since()</code> fetches all that was missed.</p>\n");
		kgw_table_cells_begin_table(page, columns);
	}
	for (; facts.row < facts.table->numvals; facts.row++)
	{
		kgw_table_cells_begin_row(page, "row");
		kgw_table_cells_object(page, kgw_query_rows_text(&facts, M_OBJECT_ID), kgw_query_rows_text(&facts, M_EVENT),
					kgw_query_rows_text(&facts, M_DELIVERY_ID), NULL);
		kgw_table_cells_cell(page, "Endpoint", "url", kgw_query_rows_text(&facts, M_URL), URL_MAX);
		kgw_table_cells_begin(page, "Since", "");
		kgw_table_cells_ago(page, kgw_query_rows_time(&facts, M_SINCE));
		kgw_table_cells_end(page);
		kgw_table_cells_cell(page, "Why", "wide key", kgw_query_rows_text(&facts, M_WHY), ERROR_MAX);
		kgw_table_cells_begin(page, "Next try", "");
		if (kgw_query_rows_null(&facts, M_NEXT))
			appendStringInfoString(&page->out, "none");
		else if (TIMESTAMP_IS_NOEND(kgw_query_rows_time(&facts, M_NEXT)))
			appendStringInfoString(&page->out, "when there is a signing secret");
		else
			kgw_table_cells_due(page, kgw_query_rows_time(&facts, M_NEXT));
		kgw_table_cells_end(page);
		appendStringInfoString(&page->out, "</tr>\n");
	}
	if (facts.row > 0)
		kgw_table_cells_end_table(page);
	appendStringInfoString(&page->out, "</section>\n");
	return (int64) facts.table->numvals;
}

static void
draw_attempts(KgwPage *page, Datum org_id)
{
	static const char *const columns[] = {"When", "Object", "Endpoint", "#Attempt", "What happened", NULL};
	KgwFacts	facts = {read_for(org_id, latest_attempts), 0};

	appendStringInfoString(&page->out, "<section id=\"deliveries\"><h2>Latest attempts</h2>\n");
	kgw_table_cells_fold(page, "Show");
	if (facts.table->numvals == 0)
		appendStringInfoString(&page->out, "<p class=\"none\">There is none yet.</p>\n");
	else
		kgw_table_cells_begin_table(page, columns);
	for (; facts.row < facts.table->numvals; facts.row++)
	{
		kgw_table_cells_begin_row(page, "row");
		kgw_table_cells_begin(page, "When", "");
		kgw_table_cells_ago(page, kgw_query_rows_time(&facts, A_STARTED_AT));
		kgw_table_cells_end(page);
		kgw_table_cells_object(page, kgw_query_rows_text(&facts, A_OBJECT_ID), kgw_query_rows_text(&facts, A_EVENT),
					kgw_query_rows_text(&facts, A_DELIVERY_ID), NULL);
		kgw_table_cells_cell(page, "Endpoint", "url", kgw_query_rows_text(&facts, A_URL), URL_MAX);
		kgw_table_cells_cell(page, "Attempt", "n", kgw_query_rows_text(&facts, A_ATTEMPT), 12);
		kgw_table_cells_begin(page, "What happened", "wide key");
		appendStringInfoString(&page->out, "<b>");
		kgw_html_text(&page->out, kgw_query_rows_text(&facts, A_OUTCOME), 20);
		appendStringInfoChar(&page->out, ' ');
		kgw_html_text(&page->out, kgw_query_rows_text(&facts, A_STATUS), 12);
		appendStringInfoString(&page->out, "</b> ");
		kgw_html_text(&page->out, kgw_query_rows_text(&facts, A_ERROR), ERROR_MAX);
		if (!kgw_query_rows_null(&facts, A_DURATION))
			appendStringInfo(&page->out, " <small>" INT64_FORMAT " ms</small>", kgw_query_rows_count(&facts, A_DURATION));
		kgw_table_cells_folded(page, "Sent", kgw_query_rows_text(&facts, A_SENT), BODY_MAX);
		kgw_table_cells_folded(page, "Answer", kgw_query_rows_text(&facts, A_ANSWER), BODY_MAX);
		kgw_table_cells_end(page);
		appendStringInfoString(&page->out, "</tr>\n");
	}
	if (facts.row > 0)
		kgw_table_cells_end_table(page);
	appendStringInfoString(&page->out, "</section>\n");
}

/*
 * kgwebhook.kg_dashboard(org_id text) -> text.  ASCII, whatever the encodings.
 */
Datum
kg_merchant_dashboard(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum		org_id = PG_GETARG_DATUM(0);
	KgwPage		page = {.now = GetCurrentTransactionStartTimestamp()};
	StringInfoData headline;
	int64		count;
	text	   *result;

	SPI_connect();
	(void) read_for(org_id, "SELECT kgwebhook.check_organization($1)");
	initStringInfo(&page.out);
	draw_endpoints(&page, org_id);
	count = draw_missed(&page, org_id);
	draw_attempts(&page, org_id);

	initStringInfo(&headline);
	if (count == 0)
		appendStringInfoString(&headline, "Everything was received");
	else
		kgw_table_cells_number(&headline, count, "delivery was not received", "deliveries were not received");
	result = kgw_page_document(&page, TextDatumGetCString(org_id), headline.data,
							   "<a href=\"#endpoints\">Endpoints</a> <a href=\"#missed\">Not received</a> "
							   "<a href=\"#deliveries\">Attempts</a>", caller);
	SPI_finish();
	PG_RETURN_TEXT_P(result);
}
