/*-------------------------------------------------------------------------
 *
 * page.h
 *	  What the parts of the delivery page share.
 *
 * src/dashboard/page.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_DASHBOARD_PAGE_H
#define KGW_DASHBOARD_PAGE_H

#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/timestamp.h"

typedef struct KgwPage
{
	StringInfoData out;
	TimestampTz now;			/* of the snapshot that all of it is read in */
	bool		bodies;			/* who asks may see what was sent and answered */
	const char *headline;		/* the headline: HTML */
} KgwPage;

/* One row of a query's result. */
typedef struct KgwFacts
{
	SPITupleTable *table;
	uint64		row;
} KgwFacts;

/* How things are, from good to bad; the worst is the page's. */
typedef enum KgwSeverity
{
	KGW_OK, KGW_NOTE, KGW_WARNING, KGW_ALARM
} KgwSeverity;

/* What is found at a glance: of the worker, the queue, and those it is for. */
typedef struct KgwPageSummary
{
	const char *worker_state;	/* as in kgwebhook.stats */
	bool		delivers;		/* a worker runs and may send */
	int64		in_flight;
	bool		all_paused;

	int64		dead;
	int64		dead_lately;	/* within a day */
	TimestampTz died_at;		/* the last */

	int64		pending;
	TimestampTz since;			/* of the oldest */
	bool		lacks_secret;	/* some wait for one */

	int64		backing_off;	/* destinations */
	TimestampTz next_probe;
	int64		paused;			/* destinations, by themselves */

	int64		subscriptions_paused;
} KgwPageSummary;

/* page_part.c */
extern bool kgw_page_part_draw(KgwPage *page, void (*draw) (KgwPage *page), const char *what);

/* page.c */
extern text *kgw_page_document(const KgwPage *body, const char *whose, const char *headline, const char *sections,
							   MemoryContext context);

/* query_rows.c */
extern SPITupleTable *kgw_query_rows_read(const char *query, int nargs, Oid *types, Datum *args);
extern bool kgw_query_rows_null(const KgwFacts *facts, int column);
extern int64 kgw_query_rows_count(const KgwFacts *facts, int column);
extern bool kgw_query_rows_flag(const KgwFacts *facts, int column);
extern TimestampTz kgw_query_rows_time(const KgwFacts *facts, int column);
extern char *kgw_query_rows_text(const KgwFacts *facts, int column);

/* findings.c */
extern void kgw_findings_draw(KgwPage *page);

/* tiles.c */
extern void kgw_tiles_draw(KgwPage *page, const KgwPageSummary *summary);

/* traffic.c */
extern void kgw_traffic_draw(KgwPage *page);

/* destinations.c */
extern void kgw_destinations_draw(KgwPage *page);

/* sources.c */
extern void kgw_sources_draw(KgwPage *page);

/* deliveries.c */
extern void kgw_deliveries_draw_failures(KgwPage *page);
extern void kgw_deliveries_draw(KgwPage *page);

/* table_cells.c */
extern const char *kgw_table_cells_class(KgwSeverity severity);
extern void kgw_table_cells_cell(KgwPage *page, const char *label, const char *class, const char *text, int max);
extern void kgw_table_cells_begin(KgwPage *page, const char *label, const char *class);
extern void kgw_table_cells_end(KgwPage *page);
extern void kgw_table_cells_object(KgwPage *page, const char *object_id, const char *event, const char *delivery_id,
								   const char *org_id);
extern void kgw_table_cells_folded(KgwPage *page, const char *name, const char *text, int max);
extern void kgw_table_cells_count(KgwPage *page, const char *label, int64 count);
extern void kgw_table_cells_number(StringInfo out, int64 count, const char *one, const char *many);
extern void kgw_table_cells_share(StringInfo out, int64 part, int64 all);
extern void kgw_table_cells_outcome(KgwPage *page, const char *outcome, const char *status);
extern void kgw_table_cells_ago(KgwPage *page, TimestampTz at);
extern void kgw_table_cells_due(KgwPage *page, TimestampTz at);
extern void kgw_table_cells_fold(KgwPage *page, const char *summary);
extern void kgw_table_cells_begin_row(KgwPage *page, const char *class);
extern void kgw_table_cells_begin_table(KgwPage *page, const char *const *columns);
extern void kgw_table_cells_end_table(KgwPage *page);
extern void kgw_table_cells_show_rows(KgwPage *page, KgwFacts *facts, const char *const *columns,
									  void (*show) (KgwPage *, KgwFacts *));

#endif							/* KGW_DASHBOARD_PAGE_H */
