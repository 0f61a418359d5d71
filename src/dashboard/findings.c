/*-------------------------------------------------------------------------
 *
 * findings.c
 *	  The top of the delivery page: what is wrong, worst first, and what to do.
 *
 * The page has no judgment of its own: its headline and its findings are the rows of
 * kg_status() (install/status.sql), so that psql and the page never disagree.  The
 * worst gives the headline its color, all follow with their remedies, and then come
 * the numbers (tiles.c), which are read here.
 *
 * src/dashboard/findings.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dashboard/html.h"
#include "dashboard/page.h"

/* Columns of the query. */
enum
{
	WORKER_STATE = 1, IN_FLIGHT, DEAD_LETTERS, DEAD_LATELY, DIED_AT, ALL_PAUSED
};

static const char worker_query[] =
"SELECT w.worker_state, w.in_flight::int8, d.letters, d.lately, d.died_at,"
"       EXISTS (SELECT FROM kgwebhook.paused p WHERE p.destination = '*')"
"  FROM kgwebhook.worker_stats() w,"
"       (SELECT count(*) AS letters, max(died_at) AS died_at,"
"               count(*) FILTER (WHERE died_at > now() - '1 day'::interval) AS lately"
"          FROM kgwebhook.dead_letter) d";

enum
{
	PENDING = 1, SINCE, SECRET, BACKING_OFF, NEXT_PROBE, PAUSED
};

/* Counts come from an index alone, and what the rows say from those that have waited longest. */
static const char backlog_query[] =
"SELECT sum(d.pending)::int8, min(d.oldest_enqueued_at),"
"       EXISTS (SELECT FROM kgwebhook.backlog b WHERE b.next_attempt_at = 'infinity'),"
"       count(*) FILTER (WHERE d.state = 'backing_off'),"
"       min(d.next_try) FILTER (WHERE d.state = 'backing_off'),"
"       (SELECT count(*) FROM kgwebhook.paused p WHERE p.destination <> '*')"
"  FROM kgwebhook.destinations d";

static const char subscriptions_query[] =
"SELECT count(*) FROM kgwebhook.subscription s WHERE s.paused_at IS NOT NULL AND s.disabled_at IS NULL";

enum
{
	SEVERITY = 1, FINDING, DETAIL, REMEDY
};

static const char status_query[] =
"SELECT f.severity, f.finding, f.detail, f.remedy FROM kgwebhook.findings() f";

static const char *const severity_sign[] = {"&#10003;", "i", "!", "&#10007;"};
static const char *const severity_word[] = {"Good", "Note", "Warning", "Alarm"};

/* What there is room for: findings, and characters of each of their columns. */
#define MOST_FINDINGS 30
#define TEXT_ROOM 400

/* Findings seen at once on a phone; page.css has the number, too. */
#define FINDINGS_ON_A_PHONE 5

/* A remedy is copied, so it has to be whole. */
#define REMEDY_ROOM 1500

static KgwSeverity
severity_of(const char *word)
{
	if (strcmp(word, "critical") == 0)
		return KGW_ALARM;
	if (strcmp(word, "warning") == 0)
		return KGW_WARNING;
	return strcmp(word, "info") == 0 ? KGW_NOTE : KGW_OK;
}

/* A column of a finding, between two tags; nothing when it is NULL. */
static void
append_column(StringInfo out, const KgwFacts *facts, int column, int room, const char *before, const char *after)
{
	const char *text = kgw_query_rows_text(facts, column);

	if (text == NULL)
		return;
	appendStringInfoString(out, before);
	kgw_html_text(out, text, room);
	appendStringInfoString(out, after);
}

/* Each finding, worst first, with what to do. */
static void
list_findings(KgwPage *page, KgwFacts *facts)
{
	if (facts->table->numvals > FINDINGS_ON_A_PHONE)
		kgw_table_cells_fold(page, "All findings");
	appendStringInfoString(&page->out, "<ul class=\"findings\">\n");
	for (facts->row = 0; facts->row < Min(facts->table->numvals, MOST_FINDINGS); facts->row++)
	{
		KgwSeverity severity = severity_of(kgw_query_rows_text(facts, SEVERITY));

		appendStringInfo(&page->out, "<li class=\"%s\">", kgw_table_cells_class(severity));
		append_column(&page->out, facts, FINDING, TEXT_ROOM, "<b>", ".</b>");
		if (facts->row > 0)
			kgw_table_cells_fold(page, "More");
		append_column(&page->out, facts, DETAIL, TEXT_ROOM, " <span>", "</span>");
		append_column(&page->out, facts, REMEDY, REMEDY_ROOM, " <code class=\"copy\">", "</code>");
		appendStringInfoString(&page->out, "</li>\n");
	}
	if (facts->table->numvals > MOST_FINDINGS)
		appendStringInfoString(&page->out, "<li>And more: <code>SELECT * FROM kg_status();</code></li>\n");
	appendStringInfoString(&page->out, "</ul>\n");
}

static void
read_worker(KgwPageSummary *summary)
{
	KgwFacts	facts = {kgw_query_rows_read(worker_query, 0, NULL, NULL), 0};

	summary->worker_state = kgw_query_rows_text(&facts, WORKER_STATE);
	summary->in_flight = kgw_query_rows_count(&facts, IN_FLIGHT);
	summary->dead = kgw_query_rows_count(&facts, DEAD_LETTERS);
	summary->dead_lately = kgw_query_rows_count(&facts, DEAD_LATELY);
	summary->died_at = kgw_query_rows_time(&facts, DIED_AT);
	summary->all_paused = kgw_query_rows_flag(&facts, ALL_PAUSED);
	summary->delivers = !summary->all_paused &&
		(strcmp(summary->worker_state, "idle") == 0 || strcmp(summary->worker_state, "busy") == 0);
}

static void
read_backlog(KgwPageSummary *summary)
{
	KgwFacts	facts = {kgw_query_rows_read(backlog_query, 0, NULL, NULL), 0};

	summary->pending = kgw_query_rows_count(&facts, PENDING);
	summary->since = kgw_query_rows_time(&facts, SINCE);
	summary->lacks_secret = kgw_query_rows_flag(&facts, SECRET);
	summary->backing_off = kgw_query_rows_count(&facts, BACKING_OFF);
	summary->next_probe = kgw_query_rows_time(&facts, NEXT_PROBE);
	summary->paused = kgw_query_rows_count(&facts, PAUSED);
}

static void
count_subscriptions(KgwPageSummary *summary)
{
	KgwFacts	facts = {kgw_query_rows_read(subscriptions_query, 0, NULL, NULL), 0};

	summary->subscriptions_paused = kgw_query_rows_count(&facts, 1);
}

/* The first finding, for the banner and the title: HTML, palloc'd. */
static const char *
headline(const KgwFacts *facts, KgwSeverity severity, const KgwPageSummary *summary)
{
	StringInfoData out;

	initStringInfo(&out);
	if (severity > KGW_OK && severity < KGW_ALARM && summary->delivers)
		appendStringInfoString(&out, "Deliveries flow, but ");
	append_column(&out, facts, FINDING, TEXT_ROOM, "", "");
	if (severity == KGW_OK && summary->pending == 0)
		appendStringInfoString(&out, ": nothing waits");
	return out.data;
}

static void
append_banner(KgwPage *page, KgwSeverity severity, const char *text)
{
	appendStringInfo(&page->out,
					 "<div class=\"banner %s\" role=\"status\"><span class=\"sign\" aria-hidden=\"true\">%s</span>"
					 "<p><span class=\"hidden\">%s: </span>%s</p></div>\n",
					 kgw_table_cells_class(severity), severity_sign[severity],
					 severity_word[severity], text);
}

/* Headline, findings and numbers; where the tables can be read. */
static void
draw_all(KgwPage *page)
{
	KgwFacts	facts = {kgw_query_rows_read(status_query, 0, NULL, NULL), 0};
	KgwPageSummary	summary = {0};
	KgwSeverity severity = severity_of(kgw_query_rows_text(&facts, SEVERITY));

	read_worker(&summary);
	read_backlog(&summary);
	count_subscriptions(&summary);
	page->headline = headline(&facts, severity, &summary);
	append_banner(page, severity, page->headline);
	if (severity > KGW_OK)
		list_findings(page, &facts);
	kgw_tiles_draw(page, &summary);
}

/* Headline and findings; these wait for no table. */
static void
draw_findings(KgwPage *page)
{
	KgwFacts	facts = {kgw_query_rows_read(status_query, 0, NULL, NULL), 0};
	KgwPageSummary	summary = {0};
	KgwSeverity severity = severity_of(kgw_query_rows_text(&facts, SEVERITY));

	page->headline = headline(&facts, severity, &summary);
	append_banner(page, severity, page->headline);
	list_findings(page, &facts);
}

/*
 * The headline, what was found, and the numbers.  The headline is also left for the
 * title.
 */
void
kgw_findings_draw(KgwPage *page)
{
	if (!kgw_page_part_draw(page, draw_all, "The numbers"))
		draw_findings(page);
}
