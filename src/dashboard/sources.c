/*-------------------------------------------------------------------------
 *
 * sources.c
 *	  The delivery page's sources: of a delivery node, where its events come from.
 *
 * A database that follows nobody has no such section.  What is wrong with a source, and
 * what to do about it, is among the findings; here is how each is, and which
 * organizations this node holds until another one has sent what it had of them.
 *
 * src/dashboard/sources.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dashboard/html.h"
#include "dashboard/page.h"

enum
{
	SOURCE = 1, NODE, STATE, WHY, LAG, KEPT, SAFE, HEARTBEAT, ROUTES, HELD, HELD_DELIVERIES, HELD_SINCE
};

static const char sources[] =
"SELECT s.source, s.node, s.state, s.why,"
"       round(extract(epoch FROM s.lag) * 1000)::int8, pg_size_pretty(s.wal_kept), pg_size_pretty(s.safe_wal_size), s.heartbeat_at,"
"       s.routes, r.held, r.deliveries, r.since"
"  FROM kgwebhook.sources s"
"  LEFT JOIN LATERAL (SELECT count(*) AS held, sum(h.held_deliveries)::int8 AS deliveries, min(h.since) AS since"
"                       FROM kgwebhook.routes h WHERE h.source = s.source AND h.held) r ON true"
" ORDER BY s.state = 'streaming', s.source LIMIT 50";

static void
source_state_cell(KgwPage *page, const KgwFacts *facts)
{
	const char *state = kgw_query_rows_text(facts, STATE);
	bool		good = strcmp(state, "streaming") == 0 || strcmp(state, "standby") == 0;
	bool		passing = strcmp(state, "copying") == 0 || strcmp(state, "behind") == 0;

	kgw_table_cells_begin(page, "State", "wide key");
	appendStringInfo(&page->out, "<span class=\"state %s\">", kgw_table_cells_class(good ? KGW_OK : passing ? KGW_WARNING : KGW_ALARM));
	kgw_html_text(&page->out, state, 20);
	appendStringInfoString(&page->out, "</span>");
	if (!kgw_query_rows_null(facts, WHY))
	{
		appendStringInfoString(&page->out, " <small>");
		kgw_html_text(&page->out, kgw_query_rows_text(facts, WHY), 300);
		appendStringInfoString(&page->out, "</small>");
	}
	kgw_table_cells_end(page);
}

/* What the source keeps for this node, and how much more it may. */
static void
wal_cell(KgwPage *page, const KgwFacts *facts)
{
	kgw_table_cells_begin(page, "Kept WAL", "n");
	if (!kgw_query_rows_null(facts, KEPT))
	{
		kgw_html_text(&page->out, kgw_query_rows_text(facts, KEPT), 20);
		appendStringInfoString(&page->out, " <small>");
		if (kgw_query_rows_null(facts, SAFE))
			appendStringInfoString(&page->out, "no limit");
		else
		{
			kgw_html_text(&page->out, kgw_query_rows_text(facts, SAFE), 20);
			appendStringInfoString(&page->out, " more until the slot is lost");
		}
		appendStringInfoString(&page->out, "</small>");
	}
	kgw_table_cells_end(page);
}

static void
held_cell(KgwPage *page, const KgwFacts *facts)
{
	int64		held = kgw_query_rows_count(facts, HELD);

	kgw_table_cells_begin(page, "Held", "");
	if (held > 0)
	{
		kgw_table_cells_number(&page->out, held, "organization", "organizations");
		appendStringInfoString(&page->out, ", ");
		kgw_table_cells_number(&page->out, kgw_query_rows_count(facts, HELD_DELIVERIES), "delivery", "deliveries");
		appendStringInfoString(&page->out, ", since ");
		kgw_table_cells_ago(page, kgw_query_rows_time(facts, HELD_SINCE));
	}
	kgw_table_cells_end(page);
}

static void
source_row(KgwPage *page, KgwFacts *facts)
{
	kgw_table_cells_begin_row(page, "");
	kgw_table_cells_begin(page, "Source", "key");
	appendStringInfoString(&page->out, "<b>");
	kgw_html_text(&page->out, kgw_query_rows_text(facts, SOURCE), 63);
	appendStringInfoString(&page->out, "</b> <small>as node ");
	kgw_html_text(&page->out, kgw_query_rows_text(facts, NODE), 63);
	appendStringInfoString(&page->out, "</small>");
	kgw_table_cells_end(page);
	source_state_cell(page, facts);
	kgw_table_cells_begin(page, "Lag", "n");
	if (!kgw_query_rows_null(facts, LAG))
	{
		kgw_html_count(&page->out, kgw_query_rows_count(facts, LAG));
		appendStringInfoString(&page->out, " ms");
	}
	kgw_table_cells_end(page);
	kgw_table_cells_begin(page, "Heartbeat", "");
	kgw_table_cells_ago(page, kgw_query_rows_time(facts, HEARTBEAT));
	kgw_table_cells_end(page);
	wal_cell(page, facts);
	kgw_table_cells_count(page, "Routes", kgw_query_rows_count(facts, ROUTES));
	held_cell(page, facts);
	appendStringInfoString(&page->out, "</tr>\n");
}

/* The sources that this database follows; nothing where it follows none. */
void
kgw_sources_draw(KgwPage *page)
{
	static const char *const columns[] = {"Source", "State", "#Lag", "Heartbeat", "#Kept WAL", "#Routes", "Held", NULL};
	KgwFacts	facts = {kgw_query_rows_read(sources, 0, NULL, NULL), 0};

	if (facts.table->numvals == 0)
		return;
	appendStringInfoString(&page->out, "<section id=\"sources\"><h2>Sources</h2>\n");
	kgw_table_cells_show_rows(page, &facts, columns, source_row);
	appendStringInfoString(&page->out, "</section>\n");
}
