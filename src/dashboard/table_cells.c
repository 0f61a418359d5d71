/*-------------------------------------------------------------------------
 *
 * table_cells.c
 *	  Tables of the delivery page, and what stands in their cells.
 *
 * A cell names its column a second time, for a phone, where a row becomes a card
 * and the table's head isn't seen.
 *
 * src/dashboard/table_cells.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dashboard/html.h"
#include "dashboard/page.h"

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

void
kgw_table_cells_end_table(KgwPage *page)
{
	appendStringInfoString(&page->out, "</tbody></table>\n");
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

/* A cell with an object, and what became of it in that delivery. */
void
kgw_table_cells_object(KgwPage *page, const char *object_id, const char *event, const char *delivery_id)
{
	kgw_table_cells_begin(page, "Object", "id");
	appendStringInfoString(&page->out, "<b>");
	kgw_html_text(&page->out, object_id, 100);
	appendStringInfoString(&page->out, "</b> <small>");
	kgw_html_text(&page->out, event, 100);
	appendStringInfo(&page->out, ", delivery %s</small>", delivery_id);
	kgw_table_cells_end(page);
}

/* What was said, folded away; nothing where nothing was. */
void
kgw_table_cells_folded(KgwPage *page, const char *name, const char *text, int max)
{
	if (text == NULL || *text == '\0')
		return;
	appendStringInfo(&page->out, "<details><summary>%s</summary><code>", name);
	kgw_html_text(&page->out, text, max);
	appendStringInfoString(&page->out, "</code></details>");
}
