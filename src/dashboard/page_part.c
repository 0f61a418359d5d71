/*-------------------------------------------------------------------------
 *
 * page_part.c
 *	  One part of the delivery page, or a word in its place.
 *
 * Each part reads its own tables, and waits for a lock on them only as long as
 * kg_dashboard() sets for it.  Who has locked one is named in the headline; the
 * other parts are then more useful than an error.  So a part is drawn in a
 * subtransaction, and what a part without its table had drawn is taken back.
 *
 * src/dashboard/page_part.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dashboard/page.h"
#include "pg/error_recovery.h"

typedef struct KgwPagePart
{
	KgwPage    *page;
	void		(*draw) (KgwPage *page);
} KgwPagePart;

static void
draw_part(void *arg)
{
	KgwPagePart *part = arg;

	part->draw(part->page);
}

/*
 * Draw a part of the page, or say that "what" is missing because a table is locked;
 * false in the latter case.  Any other error is raised.
 */
bool
kgw_page_part_draw(KgwPage *page, void (*draw) (KgwPage *page), const char *what)
{
	KgwPagePart part = {page, draw};
	int			len = page->out.len;
	ErrorData  *error = kgw_error_recovery_subtransaction(draw_part, &part);

	if (error == NULL)
		return true;
	if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
		ReThrowError(error);
	page->out.len = len;
	page->out.data[len] = '\0';
	appendStringInfo(&page->out, "<p class=\"note\">%s cannot be shown at present: a table is locked.</p>\n", what);
	return false;
}
