/*-------------------------------------------------------------------------
 *
 * tiles.c
 *	  The numbers below the delivery page's verdict, and the money at stake.
 *
 * A number has a color only where findings.c found something to say of
 * it, so that what is colored is what is wrong.  What money nobody has
 * acknowledged is worth a look at each object's history, but not at those of a
 * million: beyond some thousands, what is open is summed up as it is, and the
 * tile says that it may be less; beyond a million it isn't.
 *
 * src/dashboard/tiles.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dashboard/html.h"
#include "dashboard/page.h"

/* More open deliveries than these, and the money is only an upper bound. */
#define EXACT_STAKE 20000

/* More than these, and it takes longer to sum up than anyone waits. */
#define MOST_STAKE 1000000

/* The others are only said to be there; queries read one more. */
#define CURRENCIES 5

/* An object counts once, however many are to be told of it. */
static const char stake[] =
"SELECT o.fiat_currency, sum(o.fiat_amount), count(*)"
"  FROM (SELECT DISTINCT ON (u.object_id, u.org_id, u.kind) u.fiat_currency, u.fiat_amount"
"          FROM kgwebhook.unacknowledged u WHERE u.fiat_amount IS NOT NULL"
"         ORDER BY u.object_id, u.org_id, u.kind, u.delivery_id DESC) o"
" GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT 6";

/* Without a look at what else became of the objects, so it may be too much. */
static const char most_stake[] =
"SELECT left(o.payload ->> 'fiat_currency', 16), sum((o.payload ->> 'fiat_amount')::numeric), count(*)"
"  FROM (SELECT payload FROM kgwebhook.queue UNION ALL SELECT payload FROM kgwebhook.dead_letter) o"
" WHERE CASE WHEN o.payload ->> 'fiat_amount' ~ '^-?[0-9]{1,30}([.][0-9]{1,30})?$' THEN true ELSE false END"
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
tile_worker(KgwPage *page, const KgwHealth *health)
{
	tile_begin(page, "Worker",
			   health->delivers ? KGW_WELL : strcmp(health->worker_state, "standby") == 0 ? KGW_WARNING : KGW_ALARM);
	appendStringInfoString(&page->out, health->worker_state);
	if (health->all_paused)
		appendStringInfoString(&page->out, ", paused");
	tile_says(page);
	kgw_table_cells_number(&page->out, health->in_flight, "request", "requests");
	appendStringInfoString(&page->out, " on the network");
	tile_end(page);
}

static void
tile_pending(KgwPage *page, const KgwHealth *health)
{
	tile_begin(page, "Pending", health->late + health->secret > 0 ? KGW_WARNING : KGW_WELL);
	kgw_html_count(&page->out, health->pending);
	tile_says(page);
	if (health->pending == 0)
		appendStringInfoString(&page->out, "nothing waits");
	else
	{
		appendStringInfoString(&page->out, "the oldest for ");
		kgw_html_span(&page->out, page->now - health->since);
	}
	tile_end(page);
}

static void
tile_ill(KgwPage *page, const KgwHealth *health)
{
	tile_begin(page, "Ill destinations", health->ill > 0 ? KGW_WARNING : KGW_WELL);
	kgw_html_count(&page->out, health->ill);
	tile_says(page);
	if (health->ill == 0)
		appendStringInfoString(&page->out, "all that are known are well");
	else
	{
		appendStringInfoString(&page->out, "next probe ");
		if (health->next_probe <= page->now)
			appendStringInfoString(&page->out, "now");
		else
		{
			appendStringInfoString(&page->out, "in ");
			kgw_html_span(&page->out, health->next_probe - page->now);
		}
	}
	tile_end(page);
}

static void
tile_paused(KgwPage *page, const KgwHealth *health)
{
	int64		paused = health->paused + health->subscriptions_paused;

	tile_begin(page, "Paused receivers", paused > 0 ? KGW_WARNING : KGW_WELL);
	kgw_html_count(&page->out, paused);
	tile_says(page);
	if (paused == 0)
		appendStringInfoString(&page->out, "neither destination nor subscription");
	if (health->paused > 0)
		kgw_table_cells_number(&page->out, health->paused, "destination", "destinations");
	if (health->paused > 0 && health->subscriptions_paused > 0)
		appendStringInfoString(&page->out, ", ");
	if (health->subscriptions_paused > 0)
		kgw_table_cells_number(&page->out, health->subscriptions_paused, "subscription", "subscriptions");
	tile_end(page);
}

static void
tile_dead(KgwPage *page, const KgwHealth *health)
{
	tile_begin(page, "Dead letters",
			   health->dead_lately > 0 ? KGW_WARNING : health->dead > 0 ? KGW_NOTE : KGW_WELL);
	kgw_html_count(&page->out, health->dead);
	tile_says(page);
	if (health->dead == 0)
		appendStringInfoString(&page->out, "nothing was given up");
	else
	{
		kgw_html_count(&page->out, health->dead_lately);
		appendStringInfoString(&page->out, " in the last 24 hours; the last ");
		kgw_html_span(&page->out, page->now - health->died_at);
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

	tile_begin(page, "Money not acknowledged", KGW_WELL);
	if (open > MOST_STAKE)
	{
		appendStringInfoString(&page->out, "?");
		tile_says(page);
		appendStringInfoString(&page->out, "too much is open to be summed up here");
		tile_end(page);
		return;
	}
	facts.table = kgw_query_rows_read(exact ? stake : most_stake, 0, NULL, NULL);
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
		appendStringInfoString(&page->out, "at most, in what is pending or dead");
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
kgw_tiles_draw(KgwPage *page, const KgwHealth *health)
{
	appendStringInfoString(&page->out, "<dl class=\"tiles\">\n");
	tile_worker(page, health);
	tile_pending(page, health);
	tile_ill(page, health);
	tile_paused(page, health);
	tile_dead(page, health);
	tile_stake(page, health->pending + health->dead);
	appendStringInfoString(&page->out, "</dl>\n");
}
