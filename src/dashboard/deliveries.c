/*-------------------------------------------------------------------------
 *
 * deliveries.c
 *	  The delivery page's latest failures, and the deliveries that can be
 *	  searched.
 *
 * Rows come by index whatever the size of log and queue: failures by that of
 * their time, of which acknowledged attempts have no part; deliveries by
 * number: the latest, the oldest that are open, and the last that were given
 * up.  Each text is cut off, and a list ends where its bytes do, for one
 * receiver's answers could otherwise fill the page.
 *
 * What was sent and answered is for those who may read the log; to others the
 * page says what the views do.
 *
 * src/dashboard/deliveries.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "dashboard/html.h"
#include "dashboard/page.h"

enum
{
	F_STARTED_AT = 1, F_OBJECT_ID, F_EVENT, F_URL, F_ATTEMPT, F_OUTCOME, F_STATUS, F_ERROR,
	F_ANSWER, F_SENT, F_DELIVERY_ID, F_NEXT, F_WAITS_FOR, F_REASON, F_ACKNOWLEDGED, F_PROBE, F_ORG_ID
};

/* Earlier failures of a delivery that are listed. */
#define EARLIER 10

/* The last 80 bytes of what was sent are its signature. */
static const char failures[] =
"SELECT l.started_at, l.object_id, l.event, l.url, l.attempt, l.outcome, l.response_status, l.error,"
"       CASE WHEN $1 THEN left(l.response_body, 300) END,"
"       CASE WHEN $1 THEN left(left(l.request_body, -80) || '}', 700) END,"
"       l.delivery_id, p.next_attempt_at, p.waits_for, d.reason,"
"       EXISTS (SELECT FROM kgwebhook.delivery_log a"
"                WHERE a.delivery_id = l.delivery_id AND a.outcome = 'acknowledged' AND a.attempt > l.attempt),"
"       CASE WHEN p.waits_for = 'destination'"
"            THEN (SELECT max(n.next_try) FROM kgwebhook.destination_notices() n WHERE n.destination = l.destination) END,"
"       l.org_id"
"  FROM (SELECT f.*, max(f.started_at) OVER (PARTITION BY f.delivery_id) AS latest"
"          FROM (SELECT a.* FROM kgwebhook.delivery_log a"
"                 WHERE a.outcome <> 'acknowledged' AND NOT a.is_test"
"                 ORDER BY a.started_at DESC LIMIT 200) f) l"
"  LEFT JOIN kgwebhook.pending p ON p.delivery_id = l.delivery_id"
"  LEFT JOIN kgwebhook.dead_letter d ON d.delivery_id = l.delivery_id"
" ORDER BY l.latest DESC, l.delivery_id DESC, l.started_at DESC, l.attempt_id DESC";

enum
{
	D_DELIVERY_ID = 1, D_OBJECT_ID, D_EVENT, D_URL, D_STATE, D_ATTEMPTS, D_STATUS, D_ERROR, D_AT, D_NEXT, D_ORG_ID
};

static const char deliveries[] =
"SELECT v.delivery_id, v.object_id, v.event, v.url, v.state, v.attempts, v.last_status, v.last_error,"
"       coalesce(v.last_attempt_at, v.enqueued_at), v.next_attempt_at, v.org_id"
"  FROM kgwebhook.all_deliveries v"
" WHERE v.delivery_id = ANY ($1)"
" ORDER BY v.state IN ('acknowledged', 'superseded'), v.delivery_id DESC";

static const char numbers[] =
"SELECT array_agg(DISTINCT i.n)"
"  FROM (SELECT generate_series(greatest(s.last_value - 399, 1), s.last_value) FROM kgwebhook.delivery_id_seq s"
"         UNION ALL (SELECT q.delivery_id FROM kgwebhook.queue q ORDER BY q.delivery_id LIMIT 200)"
"         UNION ALL (SELECT d.delivery_id FROM kgwebhook.dead_letter d ORDER BY d.died_at DESC LIMIT 200)) i (n)";

/* What becomes of a delivery whose attempt has failed. */
static void
next_cell(KgwPage *page, const KgwFacts *facts)
{
	const char *waits_for = kgw_query_rows_text(facts, F_WAITS_FOR);

	kgw_table_cells_begin(page, "Next try", "");
	if (waits_for != NULL)
	{
		if (strcmp(waits_for, "secret") == 0)
			appendStringInfoString(&page->out, "when there is a signing secret");
		else if (strcmp(waits_for, "resume") == 0)
			appendStringInfoString(&page->out, "once it is resumed");
		else if (strcmp(waits_for, "destination") == 0)
			kgw_table_cells_due(page, Max(kgw_query_rows_time(facts, F_NEXT), kgw_query_rows_time(facts, F_PROBE)));
		else
			kgw_table_cells_due(page, kgw_query_rows_time(facts, F_NEXT));
	}
	else if (kgw_query_rows_flag(facts, F_ACKNOWLEDGED))
		appendStringInfoString(&page->out, "<span class=\"state ok\">acknowledged since</span>");
	else if (!kgw_query_rows_null(facts, F_REASON))
	{
		appendStringInfoString(&page->out, "<span class=\"state warning\">given up</span> <small>");
		kgw_html_text(&page->out, kgw_query_rows_text(facts, F_REASON), 160);
		appendStringInfoString(&page->out, "</small>");
	}
	else if (strcmp(kgw_query_rows_text(facts, F_OUTCOME), "superseded") == 0)
		appendStringInfoString(&page->out, "none: a newer status goes");
	else
		appendStringInfoString(&page->out, "none");
	kgw_table_cells_end(page);
}

/* The rows that follow, as far as they are of the same delivery. */
static int
count_earlier(const KgwFacts *facts)
{
	KgwFacts	next = *facts;
	int64		delivery_id = kgw_query_rows_count(facts, F_DELIVERY_ID);

	while (++next.row < facts->table->numvals && kgw_query_rows_count(&next, F_DELIVERY_ID) == delivery_id)
		;
	return (int) (next.row - facts->row) - 1;
}

/* The delivery's failures before this one, folded away. */
static void
earlier_failures(KgwPage *page, const KgwFacts *facts)
{
	KgwFacts	next = *facts;
	int			count = count_earlier(facts);

	if (count == 0)
		return;
	appendStringInfoString(&page->out, "<details><summary>");
	kgw_table_cells_number(&page->out, count, "earlier failure", "earlier failures");
	appendStringInfoString(&page->out, "</summary><ul>");
	for (int i = 0; i < Min(count, EARLIER); i++)
	{
		next.row++;
		appendStringInfoString(&page->out, "<li>");
		kgw_table_cells_ago(page, kgw_query_rows_time(&next, F_STARTED_AT));
		appendStringInfoChar(&page->out, ' ');
		kgw_table_cells_outcome(page, kgw_query_rows_text(&next, F_OUTCOME), kgw_query_rows_text(&next, F_STATUS));
		appendStringInfoChar(&page->out, ' ');
		kgw_html_text(&page->out, kgw_query_rows_text(&next, F_ERROR), 200);
		appendStringInfoString(&page->out, "</li>");
	}
	if (count > EARLIER)
	{
		appendStringInfoString(&page->out, "<li>and ");
		kgw_html_count(&page->out, count - EARLIER);
		appendStringInfoString(&page->out, " before</li>");
	}
	appendStringInfoString(&page->out, "</ul></details>");
}

static void
outcome_cell(KgwPage *page, const KgwFacts *facts)
{
	kgw_table_cells_begin(page, "What happened", "wide key");
	kgw_table_cells_outcome(page, kgw_query_rows_text(facts, F_OUTCOME), kgw_query_rows_text(facts, F_STATUS));
	appendStringInfoChar(&page->out, ' ');
	kgw_html_text(&page->out, kgw_query_rows_text(facts, F_ERROR), 200);
	kgw_table_cells_folded(page, "Answer", kgw_query_rows_text(facts, F_ANSWER), 700);
	kgw_table_cells_folded(page, "Sent", kgw_query_rows_text(facts, F_SENT), 700);
	earlier_failures(page, facts);
	kgw_table_cells_end(page);
}

/* The latest failure of a delivery, and with it the earlier ones. */
static void
failure_row(KgwPage *page, KgwFacts *facts)
{
	kgw_table_cells_begin_row(page, "row");
	kgw_table_cells_begin(page, "When", "");
	kgw_table_cells_ago(page, kgw_query_rows_time(facts, F_STARTED_AT));
	kgw_table_cells_end(page);
	kgw_table_cells_object(page, kgw_query_rows_text(facts, F_OBJECT_ID), kgw_query_rows_text(facts, F_EVENT),
						   kgw_query_rows_text(facts, F_DELIVERY_ID), kgw_query_rows_text(facts, F_ORG_ID));
	kgw_table_cells_cell(page, "URL", "url", kgw_query_rows_text(facts, F_URL), 160);
	kgw_table_cells_cell(page, "Attempt", "n", kgw_query_rows_text(facts, F_ATTEMPT), 12);
	outcome_cell(page, facts);
	next_cell(page, facts);
	appendStringInfoString(&page->out, "</tr>\n");
	facts->row += count_earlier(facts);
}

static void
delivery_row(KgwPage *page, KgwFacts *facts)
{
	const char *state = kgw_query_rows_text(facts, D_STATE);

	kgw_table_cells_begin_row(page, "row");
	kgw_table_cells_object(page, kgw_query_rows_text(facts, D_OBJECT_ID), kgw_query_rows_text(facts, D_EVENT),
						   kgw_query_rows_text(facts, D_DELIVERY_ID), kgw_query_rows_text(facts, D_ORG_ID));
	kgw_table_cells_begin(page, "State", "key");
	appendStringInfo(&page->out, "<span class=\"state %s\">%s</span>",
					 strcmp(state, "acknowledged") == 0 ? "ok" : strcmp(state, "pending") == 0 ? "note" : "warning",
					 state);
	kgw_table_cells_end(page);
	kgw_table_cells_cell(page, "URL", "url", kgw_query_rows_text(facts, D_URL), 160);
	kgw_table_cells_cell(page, "Attempts", "n", kgw_query_rows_text(facts, D_ATTEMPTS), 12);
	kgw_table_cells_begin(page, "Last", "wide");
	kgw_table_cells_ago(page, kgw_query_rows_time(facts, D_AT));
	appendStringInfoChar(&page->out, ' ');
	kgw_html_text(&page->out, kgw_query_rows_text(facts, D_STATUS), 12);
	appendStringInfoChar(&page->out, ' ');
	kgw_html_text(&page->out, kgw_query_rows_text(facts, D_ERROR), 160);
	kgw_table_cells_end(page);
	kgw_table_cells_begin(page, "Next try", "");
	if (TIMESTAMP_IS_NOEND(kgw_query_rows_time(facts, D_NEXT)))
		appendStringInfoString(&page->out, "when there is a signing secret");
	else
		kgw_table_cells_due(page, kgw_query_rows_time(facts, D_NEXT));
	kgw_table_cells_end(page);
	appendStringInfoString(&page->out, "</tr>\n");
}

/*
 * The deliveries of the latest attempts that failed.
 */
void
kgw_deliveries_draw_failures(KgwPage *page)
{
	static const char *const columns[] = {"When", "Object", "URL", "#Attempt", "What happened", "Next try", NULL};
	Oid			type = BOOLOID;
	Datum		arg = BoolGetDatum(page->bodies);
	KgwFacts	facts = {kgw_query_rows_read(failures, 1, &type, &arg), 0};

	appendStringInfoString(&page->out, "<section id=\"failures\"><h2>Latest failures, by delivery</h2>\n");
	kgw_table_cells_fold(page, "Show");
	if (facts.table->numvals == 0)
		appendStringInfoString(&page->out, "<p class=\"none\">The log has no attempt that failed.</p>\n");
	else
		kgw_table_cells_show_rows(page, &facts, columns, failure_row);
	if (!page->bodies)
		appendStringInfoString(&page->out, "<p class=\"note\">What was sent and answered is shown to roles that may read <code>kgwebhook.delivery_log</code>.</p>\n");
	appendStringInfoString(&page->out, "</section>\n");
	SPI_freetuptable(facts.table);
}

/*
 * Deliveries to search: those that are open, then the others, newest first.
 */
void
kgw_deliveries_draw(KgwPage *page)
{
	static const char *const columns[] = {"Object", "State", "URL", "#Attempts", "Last", "Next try", NULL};
	Oid			type = INT8ARRAYOID;
	bool		isnull;
	SPITupleTable *found = kgw_query_rows_read(numbers, 0, NULL, NULL);
	Datum		ids = SPI_getbinval(found->vals[0], found->tupdesc, 1, &isnull);
	KgwFacts	facts = {kgw_query_rows_read(deliveries, 1, &type, &ids), 0};

	appendStringInfoString(&page->out, "<section id=\"deliveries\"><h2>Deliveries</h2>\n");
	kgw_table_cells_fold(page, "Show");
	if (facts.table->numvals == 0)
		appendStringInfoString(&page->out, "<p class=\"none\">There is none yet.</p>\n");
	else
	{
		appendStringInfoString(&page->out,
							   "<p class=\"note\">The newest, the oldest that are open, and the last that were given up: "
							   "not all. For one that is not here: <code>SELECT * FROM kgwebhook.deliveries WHERE object_id = &#39;&hellip;&#39;;</code></p>\n");
		kgw_table_cells_show_rows(page, &facts, columns, delivery_row);
	}
	appendStringInfoString(&page->out, "</section>\n");
	SPI_freetuptable(facts.table);
}
