/*-------------------------------------------------------------------------
 *
 * tiles.c
 *	  The numbers below the delivery page's headline, and the amount at stake.
 *
 * A number has a color only where findings.c found something to say of
 * it, so that what is colored is what is wrong.  The amount not yet acknowledged
 * is exact while each object's history can be looked at; beyond some thousands of
 * open deliveries it is an estimate, and the tile says so.
 *
 * src/dashboard/tiles.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dashboard/html.h"
#include "dashboard/page.h"

/* More open deliveries than these, and the amount is an estimate. */
#define EXACT_STAKE 20000

/* Further ones are only mentioned; queries read one more. */
#define CURRENCIES 5

/* An object counts once, however many receivers it has. */
static const char stake[] =
"SELECT o.fiat_currency, sum(o.fiat_amount), count(*)"
"  FROM (SELECT DISTINCT ON (u.object_id, u.org_id, u.kind) u.fiat_currency, u.fiat_amount"
"          FROM kgwebhook.unacknowledged u WHERE u.fiat_amount IS NOT NULL"
"         ORDER BY u.object_id, u.org_id, u.kind, u.delivery_id DESC) o"
" GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT 6";

/* The same at any size, from the deliveries that have waited longest. */
static const char estimated_stake[] =
"SELECT nullif(u.fiat_currency, ''), sum(u.amount), sum(u.objects)::int8"
"  FROM kgwebhook.at_stake() u WHERE u.amount IS NOT NULL"
" GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT 6";

/* A tile begins; its number is to follow. */
static void
tile_begin(KgwPage *page, const char *name, KgwSeverity severity)
{
	appendStringInfo(&page->out, "<div class=\"tile %s\"><dt>%s</dt><dd><b>", kgw_table_cells_class(severity), name);
}

/* Its number is there, what is said of it follows. */
static void
tile_says(KgwPage *page)
{
	appendStringInfoString(&page->out, "</b> <span>");
}

static void
tile_end(KgwPage *page)
{
	appendStringInfoString(&page->out, "</span></dd></div>\n");
}

static void
tile_worker(KgwPage *page, const KgwPageSummary *summary)
{
	tile_begin(page, "Worker",
			   summary->delivers ? KGW_OK : strcmp(summary->worker_state, "standby") == 0 ? KGW_WARNING : KGW_ALARM);
	appendStringInfoString(&page->out, summary->worker_state);
	if (summary->all_paused)
		appendStringInfoString(&page->out, ", paused");
	tile_says(page);
	kgw_table_cells_number(&page->out, summary->in_flight, "request", "requests");
	appendStringInfoString(&page->out, " on the network");
	tile_end(page);
}

static void
tile_pending(KgwPage *page, const KgwPageSummary *summary)
{
	tile_begin(page, "Pending", summary->lacks_secret ? KGW_WARNING : KGW_OK);
	kgw_html_count(&page->out, summary->pending);
	tile_says(page);
	if (summary->pending == 0)
		appendStringInfoString(&page->out, "nothing waits");
	else
	{
		appendStringInfoString(&page->out, "the oldest for ");
		kgw_html_span(&page->out, page->now - summary->since);
	}
	tile_end(page);
}

static void
tile_backing_off(KgwPage *page, const KgwPageSummary *summary)
{
	tile_begin(page, "Destinations backing off", summary->backing_off > 0 ? KGW_WARNING : KGW_OK);
	kgw_html_count(&page->out, summary->backing_off);
	tile_says(page);
	if (summary->backing_off == 0)
		appendStringInfoString(&page->out, "all known destinations are healthy");
	else
	{
		appendStringInfoString(&page->out, "next probe ");
		if (summary->next_probe <= page->now)
			appendStringInfoString(&page->out, "now");
		else
		{
			appendStringInfoString(&page->out, "in ");
			kgw_html_span(&page->out, summary->next_probe - page->now);
		}
	}
	tile_end(page);
}

static void
tile_paused(KgwPage *page, const KgwPageSummary *summary)
{
	int64		paused = summary->paused + summary->subscriptions_paused;

	tile_begin(page, "Paused receivers", paused > 0 ? KGW_WARNING : KGW_OK);
	kgw_html_count(&page->out, paused);
	tile_says(page);
	if (paused == 0)
		appendStringInfoString(&page->out, "neither destination nor subscription");
	if (summary->paused > 0)
		kgw_table_cells_number(&page->out, summary->paused, "destination", "destinations");
	if (summary->paused > 0 && summary->subscriptions_paused > 0)
		appendStringInfoString(&page->out, ", ");
	if (summary->subscriptions_paused > 0)
		kgw_table_cells_number(&page->out, summary->subscriptions_paused, "subscription", "subscriptions");
	tile_end(page);
}

static void
tile_dead(KgwPage *page, const KgwPageSummary *summary)
{
	tile_begin(page, "Dead letters",
			   summary->dead_lately > 0 ? KGW_WARNING : summary->dead > 0 ? KGW_NOTE : KGW_OK);
	kgw_html_count(&page->out, summary->dead);
	tile_says(page);
	if (summary->dead == 0)
		appendStringInfoString(&page->out, "nothing was given up");
	else
	{
		kgw_html_count(&page->out, summary->dead_lately);
		appendStringInfoString(&page->out, " in the last 24 hours; the last ");
		kgw_html_span(&page->out, page->now - summary->died_at);
		appendStringInfoString(&page->out, " ago");
	}
	tile_end(page);
}

/* A line of an amount. */
static void
append_amount(StringInfo out, const KgwFacts *facts)
{
	appendStringInfoString(out, "<span class=\"amount\">");
	kgw_html_number(out, kgw_query_rows_text(facts, 2));
	appendStringInfoString(out, " <abbr>");
	kgw_html_text(out, kgw_query_rows_text(facts, 1), 16);
	appendStringInfoString(out, "</abbr></span>");
}

static void
tile_stake(KgwPage *page, int64 open)
{
	bool		exact = open <= EXACT_STAKE;
	KgwFacts	facts = {NULL, 0};
	int64		objects = 0;

	tile_begin(page, "Amount not yet acknowledged", KGW_OK);
	facts.table = kgw_query_rows_read(exact ? stake : estimated_stake, 0, NULL, NULL);
	if (facts.table->numvals == 0)
		appendStringInfoString(&page->out, "none");
	for (; facts.row < Min(facts.table->numvals, CURRENCIES); facts.row++)
	{
		append_amount(&page->out, &facts);
		objects += kgw_query_rows_count(&facts, 3);
	}
	tile_says(page);
	if (facts.table->numvals > CURRENCIES)
		appendStringInfoString(&page->out, "and other currencies; ");
	if (!exact)
		appendStringInfoString(&page->out, "estimated from what has waited longest");
	else if (objects == 0)
		appendStringInfoString(&page->out, "no object with an amount");
	else
	{
		appendStringInfoString(&page->out, "the latest status of ");
		kgw_table_cells_number(&page->out, objects, "object", "objects");
	}
	tile_end(page);
}

/*
 * The numbers at a glance.
 */
void
kgw_tiles_draw(KgwPage *page, const KgwPageSummary *summary)
{
	appendStringInfoString(&page->out, "<dl class=\"tiles\">\n");
	tile_worker(page, summary);
	tile_pending(page, summary);
	tile_backing_off(page, summary);
	tile_paused(page, summary);
	tile_dead(page, summary);
	tile_stake(page, summary->pending + summary->dead);
	appendStringInfoString(&page->out, "</dl>\n");
}
