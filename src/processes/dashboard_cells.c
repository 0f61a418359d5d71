/*-------------------------------------------------------------------------
 *
 * dashboard_cells.c
 *	  Tables of the delivery page, and what stands in their cells.
 *
 * A cell names its column a second time, for a phone, where a row becomes a card
 * and the table's head isn't seen.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "processes/dashboard.h"
#include "services/markup.h"

/* The class of what is so good or bad. */
const char *
kgw_page_class(KgwSeverity severity)
{
	static const char *const classes[] = {"well", "note", "warning", "alarm"};

	return classes[severity];
}

/* Begin a table; its columns end with NULL, and those of numbers begin with '#'. */
void
kgw_table_begin(KgwPage *page, const char *const *columns)
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
kgw_table_end(KgwPage *page)
{
	appendStringInfoString(&page->out, "</tbody></table>\n");
}

void
kgw_cell_begin(KgwPage *page, const char *label, const char *class)
{
	appendStringInfo(&page->out, "<td class=\"%s\" data-label=\"%s\">", class, label);
}

void
kgw_cell_end(KgwPage *page)
{
	appendStringInfoString(&page->out, "</td>");
}

/* A cell with text of anybody's making. */
void
kgw_cell(KgwPage *page, const char *label, const char *class, const char *text, int max)
{
	kgw_cell_begin(page, label, class);
	kgw_markup_text(&page->out, text, max);
	kgw_cell_end(page);
}

/* A cell with a count. */
void
kgw_count_cell(KgwPage *page, const char *label, int64 count)
{
	kgw_cell_begin(page, label, "n");
	kgw_markup_count(&page->out, count);
	kgw_cell_end(page);
}

/* "3 deliveries", "1 delivery" */
void
kgw_page_number(StringInfo out, int64 count, const char *one, const char *many)
{
	kgw_markup_count(out, count);
	appendStringInfo(out, " %s", count == 1 ? one : many);
}

/* When something was, and how long ago that is. */
void
kgw_page_ago(KgwPage *page, TimestampTz at)
{
	if (TIMESTAMP_NOT_FINITE(at))
		return;
	kgw_markup_time(&page->out, at, page->now);
	appendStringInfoString(&page->out, " <small>");
	kgw_markup_span(&page->out, page->now - at);
	appendStringInfoString(&page->out, " ago</small>");
}

/* When something is due, and how long that is from now. */
void
kgw_page_due(KgwPage *page, TimestampTz at)
{
	if (TIMESTAMP_NOT_FINITE(at))
		return;
	if (at <= page->now)
	{
		appendStringInfoString(&page->out, "due now");
		return;
	}
	appendStringInfoString(&page->out, "in ");
	kgw_markup_span(&page->out, at - page->now);
	appendStringInfoString(&page->out, " <small>");
	kgw_markup_time(&page->out, at, page->now);
	appendStringInfoString(&page->out, "</small>");
}
