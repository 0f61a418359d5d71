/*-------------------------------------------------------------------------
 *
 * table_cells.c
 *	  Tables of the delivery page, and what stands in their cells.
 *
 * A cell names its column a second time, for a phone, where a row becomes a card
 * and the table's head isn't seen.  Of a card only what it is and how it is are
 * seen (the classes "id" and "key"), and the rest once it is unfolded; so it is with
 * sections and findings.  It is style alone that folds: a browser without :has()
 * shows rows whole, and so does paper.  Of each table the first rows are seen, and
 * the others folded away; a table ends where its bytes do, for one receiver's
 * answers could otherwise fill the page.
 *
 * src/dashboard/table_cells.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dashboard/html.h"
#include "dashboard/page.h"

/* Bytes that a table may have. */
#define ROOM (300 * 1024)

/* Rows that are seen at once; the others are folded away. */
#define AT_ONCE 10

/* The class of what is so good or bad. */
const char *
kgw_table_cells_class(KgwSeverity severity)
{
	static const char *const classes[] = {"ok", "note", "warning", "alarm"};

	return classes[severity];
}

/* Begin a table; its columns end with NULL, and those of numbers begin with '#'. */
void
kgw_table_cells_begin_table(KgwPage *page, const char *const *columns)
{
	appendStringInfoString(&page->out, "<table><thead><tr>");
	for (; *columns != NULL; columns++)
	{
		bool		numbers = **columns == '#';

		appendStringInfo(&page->out, "<th scope=\"col\"%s>%s</th>",
						 numbers ? " class=\"n\"" : "", *columns + (numbers ? 1 : 0));
	}
	appendStringInfoString(&page->out, "</tr></thead><tbody>\n");
}

/*
 * On a phone, fold away what follows in the same section or finding; elsewhere this is
 * not seen.
 */
void
kgw_table_cells_fold(KgwPage *page, const char *summary)
{
	appendStringInfo(&page->out, "<details class=\"fold\"><summary>%s</summary></details>", summary);
}

/* Begin a row of that class, and what unfolds it on a phone. */
void
kgw_table_cells_begin_row(KgwPage *page, const char *class)
{
	appendStringInfo(&page->out, "<tr class=\"%s\"><td class=\"fold\">", class);
	kgw_table_cells_fold(page, "More");
	kgw_table_cells_end(page);
}

void
kgw_table_cells_end_table(KgwPage *page)
{
	appendStringInfoString(&page->out, "</tbody></table>\n");
}

/*
 * A table of all rows of "facts", of which "show" writes each, or several as one: it
 * leaves facts->row at the last it has written.
 */
void
kgw_table_cells_show_rows(KgwPage *page, KgwFacts *facts, const char *const *columns,
						  void (*show) (KgwPage *, KgwFacts *))
{
	int			begin = page->out.len;
	int			shown = 0;
	uint64		rows = facts->table->numvals;

	kgw_table_cells_begin_table(page, columns);
	for (; facts->row < rows && page->out.len - begin < ROOM; facts->row++)
	{
		if (shown++ == AT_ONCE)
		{
			kgw_table_cells_end_table(page);
			appendStringInfoString(&page->out, "<details class=\"more\"><summary>Show more</summary>\n");
			kgw_table_cells_begin_table(page, columns);
		}
		show(page, facts);
	}
	kgw_table_cells_end_table(page);
	if (shown > AT_ONCE)
		appendStringInfoString(&page->out, "</details>\n");
	if (facts->row < rows)
	{
		appendStringInfoString(&page->out, "<p class=\"note\">");
		kgw_html_count(&page->out, rows - facts->row);
		appendStringInfoString(&page->out, " do not fit on this page.</p>\n");
	}
}

void
kgw_table_cells_begin(KgwPage *page, const char *label, const char *class)
{
	appendStringInfo(&page->out, "<td class=\"%s\" data-label=\"%s\">", class, label);
}

void
kgw_table_cells_end(KgwPage *page)
{
	appendStringInfoString(&page->out, "</td>");
}

/* A cell with text of anyone's making. */
void
kgw_table_cells_cell(KgwPage *page, const char *label, const char *class, const char *text, int max)
{
	kgw_table_cells_begin(page, label, class);
	kgw_html_text(&page->out, text, max);
	kgw_table_cells_end(page);
}

/* A cell with a count. */
void
kgw_table_cells_count(KgwPage *page, const char *label, int64 count)
{
	kgw_table_cells_begin(page, label, "n");
	kgw_html_count(&page->out, count);
	kgw_table_cells_end(page);
}

/* "3 deliveries", "1 delivery" */
void
kgw_table_cells_number(StringInfo out, int64 count, const char *one, const char *many)
{
	kgw_html_count(out, count);
	appendStringInfo(out, " %s", count == 1 ? one : many);
}

/* "99.9 %"; 100 only where all were. */
void
kgw_table_cells_share(StringInfo out, int64 part, int64 all)
{
	int64		tenths = part * 1000 / all;

	if (part == all)
		appendStringInfoString(out, "100 %");
	else
		appendStringInfo(out, "%d.%d %%", (int) (tenths / 10), (int) (tenths % 10));
}

/* The outcome of an attempt in its color, and the answer's status if there was one. */
void
kgw_table_cells_outcome(KgwPage *page, const char *outcome, const char *status)
{
	KgwSeverity severity = KGW_ALARM;

	if (strcmp(outcome, "acknowledged") == 0)
		severity = KGW_OK;
	else if (strcmp(outcome, "superseded") == 0)
		severity = KGW_NOTE;
	else if (strcmp(outcome, "rejected") == 0 || strcmp(outcome, "timed_out") == 0)
		severity = KGW_WARNING;
	appendStringInfo(&page->out, "<span class=\"state %s\">", kgw_table_cells_class(severity));
	kgw_html_text(&page->out, strcmp(outcome, "timed_out") == 0 ? "timed out" : outcome, 20);
	if (status != NULL)
	{
		appendStringInfoChar(&page->out, ' ');
		kgw_html_text(&page->out, status, 12);
	}
	appendStringInfoString(&page->out, "</span>");
}

/* When something was, and how long ago that is. */
void
kgw_table_cells_ago(KgwPage *page, TimestampTz at)
{
	if (TIMESTAMP_NOT_FINITE(at))
		return;
	kgw_html_time(&page->out, at, page->now);
	appendStringInfoString(&page->out, " <small>");
	kgw_html_span(&page->out, page->now - at);
	appendStringInfoString(&page->out, " ago</small>");
}

/* When something is due, and how long that is from now. */
void
kgw_table_cells_due(KgwPage *page, TimestampTz at)
{
	if (TIMESTAMP_NOT_FINITE(at))
		return;
	if (at <= page->now)
	{
		appendStringInfoString(&page->out, "due now");
		return;
	}
	appendStringInfoString(&page->out, "in ");
	kgw_html_span(&page->out, at - page->now);
	appendStringInfoString(&page->out, " <small>");
	kgw_html_time(&page->out, at, page->now);
	appendStringInfoString(&page->out, "</small>");
}

/*
 * A cell with an object, and what became of it in that delivery.  With an organization it
 * is an operator's, and the delivery unfolds the statement that says more of it.
 */
void
kgw_table_cells_object(KgwPage *page, const char *object_id, const char *event, const char *delivery_id,
					   const char *org_id)
{
	kgw_table_cells_begin(page, "Object", "id");
	appendStringInfoString(&page->out, "<b>");
	kgw_html_text(&page->out, object_id, 100);
	appendStringInfoString(&page->out, "</b> <small>");
	kgw_html_text(&page->out, event, 100);
	if (org_id == NULL)
		appendStringInfo(&page->out, ", delivery %s</small>", delivery_id);
	else
	{
		appendStringInfoString(&page->out, "</small> <small>organization ");
		kgw_html_text(&page->out, org_id, 100);
		appendStringInfo(&page->out, "</small><details><summary>delivery %s</summary>"
						 "<code class=\"copy\">SELECT kg_explain(%s);</code></details>", delivery_id, delivery_id);
	}
	kgw_table_cells_end(page);
}

/* What was said, folded away; nothing where nothing was. */
void
kgw_table_cells_folded(KgwPage *page, const char *name, const char *text, int max)
{
	if (text == NULL || *text == '\0')
		return;
	appendStringInfo(&page->out, " <details><summary>%s</summary><code>", name);
	kgw_html_text(&page->out, text, max);
	appendStringInfoString(&page->out, "</code></details>");
}
