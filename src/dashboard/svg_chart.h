/*-------------------------------------------------------------------------
 *
 * svg_chart.h
 *	  Numbers over time, drawn as SVG.
 *
 * src/dashboard/svg_chart.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_DASHBOARD_SVG_CHART_H
#define KGW_DASHBOARD_SVG_CHART_H

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"

/* Lines in one chart. */
#define KGW_CHART_LINES 3

typedef struct KgwChart
{
	const char *id;				/* unique in the page, a word */
	const char *title;			/* HTML, as all that follows */
	const char *description;	/* what someone who doesn't see it should know */
	const char *unit;			/* of the vertical axis */
	const char *empty;			/* said where there is nothing to draw */
	TimestampTz start;			/* of the first bucket */
	int64		bucket;			/* its length, microseconds */
	int			buckets;
	int64		tick;			/* between labels of the horizontal axis, microseconds */
	int			unknown;		/* buckets at the beginning that weren't counted */
} KgwChart;

extern void kgw_svg_chart_bars(StringInfo out, const KgwChart *chart, const int64 *lower,
						   const int64 *upper, const char *lower_name, const char *upper_name);
extern void kgw_svg_chart_lines(StringInfo out, const KgwChart *chart,
							double *const values[KGW_CHART_LINES]);

#endif							/* KGW_DASHBOARD_SVG_CHART_H */
