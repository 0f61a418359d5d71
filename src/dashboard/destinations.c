/*-------------------------------------------------------------------------
 *
 * destinations.c
 *	  The delivery page's destinations and subscriptions, and why attempts
 *	  failed recently.
 *
 * Destinations that are backing off or paused come first, then those with the
 * largest backlog; of ten thousand healthy ones, only the number matters.
 * Healthy subscriptions are not listed at all.
 *
 * How a destination answers is counted over the latest 100,000 attempts of a day,
 * so that it costs as much beside a huge log.  The last error of one that is tried
 * rarely may be older than these: it is also looked up by the oldest delivery that
 * was tried in vain.
 *
 * src/dashboard/destinations.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dashboard/html.h"
#include "dashboard/page.h"

#define SHOWN 50

enum
{
	DESTINATION = 1, STATE, PENDING, FAILURES, LAST_SUCCESS, NEXT_TRY, OLDEST, OF_ALL,
	ORG, ORGS, SENT, ACKNOWLEDGED, MEDIAN, P95, ERROR_TEXT, ERROR_AT
};

static const char destinations[] =
"WITH shown AS MATERIALIZED ("
"  SELECT d.*, count(*) OVER () AS of_all FROM kgwebhook.destinations d"
"   ORDER BY d.state = 'ok', d.pending DESC, d.destination LIMIT 50),"
" recent AS MATERIALIZED ("
"  SELECT l.destination, l.org_id, l.outcome, l.duration_ms, l.attempt_id"
"    FROM kgwebhook.delivery_log l"
"   WHERE l.attempt_id BETWEEN (SELECT s.last_value - 100000 FROM kgwebhook.attempt_id_seq s)"
"                          AND (SELECT s.last_value FROM kgwebhook.attempt_id_seq s)"
"     AND l.started_at > now() - interval '1 day' AND NOT l.is_test AND l.outcome <> 'superseded'"
"     AND l.destination IN (SELECT s.destination FROM shown s)),"
" answers AS ("
"  SELECT r.destination, count(*) AS sent, count(*) FILTER (WHERE r.outcome = 'acknowledged') AS acknowledged,"
"         percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY r.duration_ms)"
"           FILTER (WHERE r.outcome IN ('acknowledged', 'rejected', 'timed_out')) AS took,"
"         max(r.attempt_id) FILTER (WHERE r.outcome <> 'acknowledged') AS failed"
"    FROM recent r GROUP BY r.destination),"
" organizations AS ("
"  SELECT o.destination, min(o.org_id) AS org_id, count(*) AS orgs"
"    FROM (SELECT r.destination, r.org_id FROM recent r"
"          UNION SELECT s.destination, q.org_id FROM shown s CROSS JOIN LATERAL"
"                (SELECT w.org_id FROM kgwebhook.queue w WHERE w.destination BETWEEN s.destination AND s.destination ORDER BY w.destination, w.delivery_id LIMIT 200) q) o"
"   GROUP BY o.destination)"
"SELECT s.destination, s.state, s.pending::int8, s.failures_in_a_row::int8, s.last_success, s.next_try,"
"       s.oldest_enqueued_at, s.of_all, o.org_id, o.orgs, a.sent, a.acknowledged,"
"       round(a.took[1]::numeric)::int8, round(a.took[2]::numeric)::int8, e.error, e.started_at"
"  FROM shown s"
"  LEFT JOIN answers a ON a.destination = s.destination"
"  LEFT JOIN organizations o ON o.destination = s.destination"
"  LEFT JOIN LATERAL ("
"    SELECT coalesce(f.error, f.outcome) AS error, f.started_at"
"      FROM ((SELECT l.* FROM kgwebhook.delivery_log l WHERE l.attempt_id = a.failed)"
"            UNION ALL"
"            (SELECT l.* FROM kgwebhook.delivery_log l"
"              WHERE l.delivery_id = (SELECT t.delivery_id"
"                                       FROM (SELECT q.delivery_id, q.attempts FROM kgwebhook.queue q"
"                                              WHERE q.destination BETWEEN s.destination AND s.destination ORDER BY q.destination, q.delivery_id LIMIT 200) t"
"                                      WHERE t.attempts > 0 ORDER BY t.delivery_id LIMIT 1)"
"              ORDER BY l.attempt DESC, l.attempt_id DESC LIMIT 1)) f"
"     WHERE f.outcome NOT IN ('acknowledged', 'superseded')"
"     ORDER BY f.attempt_id DESC LIMIT 1) e ON true"
" ORDER BY s.state = 'ok', s.pending DESC, s.destination";

enum
{
	S_ID = 1, S_ORG, S_URL, S_DESCRIPTION, S_STATE, S_REASON, S_SINCE, S_PENDING, S_OF_ALL
};

static const char subscriptions[] =
"SELECT s.subscription_id, s.org_id, s.url, s.description, s.state, s.reason, s.since, s.pending::int8,"
"       count(*) OVER ()"
"  FROM kgwebhook.subscriptions s WHERE s.state <> 'ok'"
" ORDER BY array_position(ARRAY['disabled', 'failing', 'unverified', 'paused'], s.state), s.since DESC, s.subscription_id LIMIT 50";

static const char subscribed[] =
"SELECT count(*) FROM kgwebhook.subscription";

enum
{
	REASON = 1, OUTCOME, STATUS, ATTEMPTS, DELIVERIES, DESTINATIONS, LAST_AT
};

static const char reasons[] =
"SELECT f.reason, f.outcome, f.response_status, f.attempts, f.deliveries, f.destinations, f.last_at"
"  FROM kgwebhook.failures f ORDER BY f.attempts DESC, f.last_at DESC LIMIT 20";

/* What a list had no room for. */
static void
say_more(KgwPage *page, int64 more, const char *view)
{
	if (more <= 0)
		return;
	appendStringInfoString(&page->out, "<p class=\"note\">");
	kgw_html_count(&page->out, more);
	appendStringInfo(&page->out, " more are in <code>kgwebhook.%s</code>.</p>\n", view);
}

/* A destination and whose it is: "https://host:443 organization acme and 2 others". */
static void
whose_cell(KgwPage *page, const KgwFacts *facts)
{
	int64		others = kgw_query_rows_count(facts, ORGS) - 1;

	kgw_table_cells_begin(page, "Destination", "wide key");
	appendStringInfoString(&page->out, "<b>");
	kgw_html_text(&page->out, kgw_query_rows_text(facts, DESTINATION), 120);
	appendStringInfoString(&page->out, "</b>");
	if (!kgw_query_rows_null(facts, ORG))
	{
		appendStringInfoString(&page->out, " <small>organization ");
		kgw_html_text(&page->out, kgw_query_rows_text(facts, ORG), 100);
		if (others > 0)
		{
			appendStringInfoString(&page->out, " and ");
			kgw_table_cells_number(&page->out, others, "other", "others");
		}
		appendStringInfoString(&page->out, "</small>");
	}
	kgw_table_cells_end(page);
}

static void
destination_state_cell(KgwPage *page, const KgwFacts *facts, bool paused, bool backing_off)
{
	int64		failures = kgw_query_rows_count(facts, FAILURES);

	kgw_table_cells_begin(page, "State", "key");
	appendStringInfo(&page->out, "<span class=\"state %s\">%s</span>", backing_off || paused ? "warning" : "ok",
					 backing_off ? "backing off" : paused ? "paused" : "ok");
	if (failures > 0)
	{
		appendStringInfoString(&page->out, " <small>");
		kgw_table_cells_number(&page->out, failures, "failure in a row", "failures in a row");
		appendStringInfoString(&page->out, "</small>");
	}
	kgw_table_cells_end(page);
}

/* How many attempts were acknowledged, and how soon answers came. */
static void
answers_cells(KgwPage *page, const KgwFacts *facts)
{
	int64		sent = kgw_query_rows_count(facts, SENT);

	kgw_table_cells_begin(page, "Success", "n");
	if (sent > 0)
	{
		kgw_table_cells_share(&page->out, kgw_query_rows_count(facts, ACKNOWLEDGED), sent);
		appendStringInfoString(&page->out, " <small>of ");
		kgw_html_count(&page->out, sent);
		appendStringInfoString(&page->out, "</small>");
	}
	kgw_table_cells_end(page);
	kgw_table_cells_begin(page, "Latency", "n");
	if (!kgw_query_rows_null(facts, MEDIAN))
	{
		kgw_html_count(&page->out, kgw_query_rows_count(facts, MEDIAN));
		appendStringInfoString(&page->out, " ms <small>p95 ");
		kgw_html_count(&page->out, kgw_query_rows_count(facts, P95));
		appendStringInfoString(&page->out, " ms</small>");
	}
	kgw_table_cells_end(page);
}

static void
error_cell(KgwPage *page, const KgwFacts *facts)
{
	kgw_table_cells_begin(page, "Last error", "wide");
	if (!kgw_query_rows_null(facts, ERROR_TEXT))
	{
		kgw_html_text(&page->out, kgw_query_rows_text(facts, ERROR_TEXT), 200);
		appendStringInfoChar(&page->out, ' ');
		kgw_table_cells_ago(page, kgw_query_rows_time(facts, ERROR_AT));
	}
	kgw_table_cells_end(page);
}

static void
destination_row(KgwPage *page, KgwFacts *facts)
{
	const char *state = kgw_query_rows_text(facts, STATE);
	bool		paused = strcmp(state, "paused") == 0;

	kgw_table_cells_begin_row(page, "");
	whose_cell(page, facts);
	destination_state_cell(page, facts, paused, strcmp(state, "backing_off") == 0);
	answers_cells(page, facts);
	kgw_table_cells_count(page, "Pending", kgw_query_rows_count(facts, PENDING));
	kgw_table_cells_begin(page, "Oldest", "");
	kgw_table_cells_ago(page, kgw_query_rows_time(facts, OLDEST));
	kgw_table_cells_end(page);
	kgw_table_cells_begin(page, "Last success", "");
	if (kgw_query_rows_null(facts, LAST_SUCCESS))
		appendStringInfoString(&page->out, "<small>none lately</small>");
	else
		kgw_table_cells_ago(page, kgw_query_rows_time(facts, LAST_SUCCESS));
	kgw_table_cells_end(page);
	error_cell(page, facts);
	kgw_table_cells_begin(page, "Next try", "");
	if (paused)
		appendStringInfoString(&page->out, "after kg_resume()");
	else
		kgw_table_cells_due(page, kgw_query_rows_time(facts, NEXT_TRY));
	kgw_table_cells_end(page);
	appendStringInfoString(&page->out, "</tr>\n");
}

static void
show_destinations(KgwPage *page)
{
	static const char *const columns[] = {"Destination", "State", "#Success", "#Latency", "#Pending", "Oldest", "Last success", "Last error", "Next try", NULL};
	KgwFacts	facts = {kgw_query_rows_read(destinations, 0, NULL, NULL), 0};

	appendStringInfoString(&page->out, "<section id=\"destinations\"><h2>Destinations</h2>\n");
	if (facts.table->numvals == 0)
		appendStringInfoString(&page->out, "<p class=\"none\">Nothing has been sent since the server started, and nothing waits.</p>\n");
	else
	{
		int64		all = kgw_query_rows_count(&facts, OF_ALL);

		appendStringInfoString(&page->out,
							   "<p class=\"note\">Success and latency are those of the latest 100,000 attempts within 24 hours.</p>\n");
		kgw_table_cells_show_rows(page, &facts, columns, destination_row);
		say_more(page, all - SHOWN, "destinations");
	}
	appendStringInfoString(&page->out, "</section>\n");
}

static void
subscription_row(KgwPage *page, KgwFacts *facts)
{
	kgw_table_cells_begin_row(page, "");
	kgw_table_cells_cell(page, "Subscription", "", kgw_query_rows_text(facts, S_ID), 20);
	kgw_table_cells_begin(page, "State", "key");
	appendStringInfo(&page->out, "<span class=\"state warning\">%s</span>", kgw_query_rows_text(facts, S_STATE));
	kgw_table_cells_end(page);
	kgw_table_cells_cell(page, "Organization", "", kgw_query_rows_text(facts, S_ORG), 100);
	kgw_table_cells_begin(page, "Receiver", "url key");
	kgw_html_text(&page->out, kgw_query_rows_text(facts, S_URL), 160);
	if (!kgw_query_rows_null(facts, S_DESCRIPTION))
	{
		appendStringInfoString(&page->out, " <small>");
		kgw_html_text(&page->out, kgw_query_rows_text(facts, S_DESCRIPTION), 100);
		appendStringInfoString(&page->out, "</small>");
	}
	kgw_table_cells_end(page);
	kgw_table_cells_cell(page, "Reason", "wide", kgw_query_rows_text(facts, S_REASON), 200);
	kgw_table_cells_begin(page, "Since", "");
	kgw_table_cells_ago(page, kgw_query_rows_time(facts, S_SINCE));
	kgw_table_cells_end(page);
	kgw_table_cells_count(page, "Pending", kgw_query_rows_count(facts, S_PENDING));
	appendStringInfoString(&page->out, "</tr>\n");
}

/* Without subscriptions the section is left out. */
static void
show_subscriptions(KgwPage *page)
{
	static const char *const columns[] = {"Subscription", "State", "Organization", "Receiver", "Reason", "Since", "#Pending", NULL};
	KgwFacts	all = {kgw_query_rows_read(subscribed, 0, NULL, NULL), 0};
	KgwFacts	facts = {NULL, 0};
	int64		count = kgw_query_rows_count(&all, 1);

	if (count == 0)
		return;
	facts.table = kgw_query_rows_read(subscriptions, 0, NULL, NULL);
	appendStringInfoString(&page->out, "<section id=\"subscriptions\"><h2>Subscriptions that are not healthy</h2>\n");
	if (facts.table->numvals == 0)
	{
		appendStringInfoString(&page->out, "<p class=\"none\">None of ");
		kgw_html_count(&page->out, count);
		appendStringInfoString(&page->out, ".</p>\n");
	}
	else
	{
		int64		unhealthy = kgw_query_rows_count(&facts, S_OF_ALL);

		kgw_table_cells_show_rows(page, &facts, columns, subscription_row);
		say_more(page, unhealthy - SHOWN, "subscriptions");
	}
	appendStringInfoString(&page->out, "</section>\n");
}

static void
reason_row(KgwPage *page, KgwFacts *facts)
{
	kgw_table_cells_begin_row(page, "");
	kgw_table_cells_cell(page, "Reason", "wide key", kgw_query_rows_text(facts, REASON), 200);
	kgw_table_cells_begin(page, "Outcome", "key");
	kgw_table_cells_outcome(page, kgw_query_rows_text(facts, OUTCOME), kgw_query_rows_text(facts, STATUS));
	kgw_table_cells_end(page);
	kgw_table_cells_count(page, "Attempts", kgw_query_rows_count(facts, ATTEMPTS));
	kgw_table_cells_count(page, "Deliveries", kgw_query_rows_count(facts, DELIVERIES));
	kgw_table_cells_count(page, "Destinations", kgw_query_rows_count(facts, DESTINATIONS));
	kgw_table_cells_begin(page, "Last", "");
	kgw_table_cells_ago(page, kgw_query_rows_time(facts, LAST_AT));
	kgw_table_cells_end(page);
	appendStringInfoString(&page->out, "</tr>\n");
}

static void
show_reasons(KgwPage *page)
{
	static const char *const columns[] = {"Reason", "Outcome", "#Attempts", "#Deliveries", "#Destinations", "Last", NULL};
	KgwFacts	facts = {kgw_query_rows_read(reasons, 0, NULL, NULL), 0};

	appendStringInfoString(&page->out, "<section id=\"reasons\"><h2>Why attempts failed, the last hour</h2>\n");
	kgw_table_cells_fold(page, "Show");
	if (facts.table->numvals == 0)
		appendStringInfoString(&page->out, "<p class=\"none\">No attempt has failed in the last hour.</p>\n");
	else
	{
		kgw_table_cells_show_rows(page, &facts, columns, reason_row);
	}
	appendStringInfoString(&page->out, "</section>\n");
}

/*
 * Destinations, subscriptions, and reasons of the last hour.
 */
void
kgw_destinations_draw(KgwPage *page)
{
	show_destinations(page);
	show_subscriptions(page);
	show_reasons(page);
}
