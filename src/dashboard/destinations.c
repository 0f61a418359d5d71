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
	DESTINATION = 1, STATE, PENDING, IN_FLIGHT, FAILURES, LAST_SUCCESS, NEXT_TRY, OLDEST, OF_ALL
};

static const char destinations[] =
"SELECT d.destination, d.state, d.pending::int8, d.in_flight::int8, d.failures_in_a_row::int8,"
"       d.last_success, d.next_try, d.oldest_enqueued_at, count(*) OVER ()"
"  FROM kgwebhook.destinations d"
" ORDER BY d.state = 'ok', d.pending DESC, d.destination LIMIT 50";

enum
{
	S_ID = 1, S_ORG, S_URL, S_DESCRIPTION, S_STATE, S_REASON, S_SINCE, S_PENDING, S_OF_ALL
};

static const char subscriptions[] =
"SELECT s.subscription_id, s.org_id, s.url, s.description, s.state, s.reason, s.since, s.pending::int8,"
"       count(*) OVER ()"
"  FROM kgwebhook.subscriptions s WHERE s.state <> 'ok'"
" ORDER BY array_position(ARRAY['disabled', 'failing', 'paused'], s.state), s.since DESC, s.subscription_id LIMIT 50";

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

static void
destination_row(KgwPage *page, const KgwFacts *facts)
{
	const char *state = kgw_query_rows_text(facts, STATE);
	bool		paused = strcmp(state, "paused") == 0;
	bool		backing_off = strcmp(state, "backing_off") == 0;

	appendStringInfoString(&page->out, "<tr>");
	kgw_table_cells_cell(page, "Destination", "wide", kgw_query_rows_text(facts, DESTINATION), 120);
	kgw_table_cells_begin(page, "State", "");
	appendStringInfo(&page->out, "<span class=\"state %s\">%s</span>",
					 backing_off || paused ? "warning" : "ok", backing_off ? "backing off" : state);
	kgw_table_cells_end(page);
	kgw_table_cells_count(page, "Pending", kgw_query_rows_count(facts, PENDING));
	kgw_table_cells_begin(page, "Oldest", "");
	kgw_table_cells_ago(page, kgw_query_rows_time(facts, OLDEST));
	kgw_table_cells_end(page);
	kgw_table_cells_count(page, "Failures", kgw_query_rows_count(facts, FAILURES));
	kgw_table_cells_begin(page, "Last success", "");
	if (kgw_query_rows_null(facts, LAST_SUCCESS))
		appendStringInfoString(&page->out, "<small>none since the server started</small>");
	else
		kgw_table_cells_ago(page, kgw_query_rows_time(facts, LAST_SUCCESS));
	kgw_table_cells_end(page);
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
	static const char *const columns[] = {"Destination", "State", "#Pending", "Oldest", "#Failures in a row", "Last success", "Next try", NULL};
	KgwFacts	facts = {kgw_query_rows_read(destinations, 0, NULL, NULL), 0};

	appendStringInfoString(&page->out, "<section id=\"destinations\"><h2>Destinations</h2>\n");
	if (facts.table->numvals == 0)
		appendStringInfoString(&page->out, "<p class=\"none\">Nothing has been sent since the server started, and nothing waits.</p>\n");
	else
	{
		int64		all = kgw_query_rows_count(&facts, OF_ALL);

		kgw_table_cells_begin_table(page, columns);
		for (; facts.row < facts.table->numvals; facts.row++)
			destination_row(page, &facts);
		kgw_table_cells_end_table(page);
		say_more(page, all - SHOWN, "destinations");
	}
	appendStringInfoString(&page->out, "</section>\n");
}

static void
subscription_row(KgwPage *page, const KgwFacts *facts)
{
	appendStringInfoString(&page->out, "<tr>");
	kgw_table_cells_cell(page, "Subscription", "", kgw_query_rows_text(facts, S_ID), 20);
	kgw_table_cells_begin(page, "State", "");
	appendStringInfo(&page->out, "<span class=\"state warning\">%s</span>", kgw_query_rows_text(facts, S_STATE));
	kgw_table_cells_end(page);
	kgw_table_cells_cell(page, "Organization", "", kgw_query_rows_text(facts, S_ORG), 100);
	kgw_table_cells_begin(page, "Receiver", "url");
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

		kgw_table_cells_begin_table(page, columns);
		for (; facts.row < facts.table->numvals; facts.row++)
			subscription_row(page, &facts);
		kgw_table_cells_end_table(page);
		say_more(page, unhealthy - SHOWN, "subscriptions");
	}
	appendStringInfoString(&page->out, "</section>\n");
}

static void
reason_row(KgwPage *page, const KgwFacts *facts)
{
	appendStringInfoString(&page->out, "<tr>");
	kgw_table_cells_cell(page, "Reason", "wide", kgw_query_rows_text(facts, REASON), 200);
	kgw_table_cells_cell(page, "Outcome", "", kgw_query_rows_text(facts, OUTCOME), 20);
	kgw_table_cells_cell(page, "Status", "n", kgw_query_rows_text(facts, STATUS), 12);
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
	static const char *const columns[] = {"Reason", "Outcome", "#Status", "#Attempts", "#Deliveries", "#Destinations", "Last", NULL};
	KgwFacts	facts = {kgw_query_rows_read(reasons, 0, NULL, NULL), 0};

	appendStringInfoString(&page->out, "<section id=\"reasons\"><h2>Why attempts failed, the last hour</h2>\n");
	if (facts.table->numvals == 0)
		appendStringInfoString(&page->out, "<p class=\"none\">No attempt has failed in the last hour.</p>\n");
	else
	{
		kgw_table_cells_begin_table(page, columns);
		for (; facts.row < facts.table->numvals; facts.row++)
			reason_row(page, &facts);
		kgw_table_cells_end_table(page);
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
