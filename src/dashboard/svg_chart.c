/*-------------------------------------------------------------------------
 *
 * svg_chart.c
 *	  Numbers over time, drawn as SVG.
 *
 * A drawing is inline and has classes for colors, so that it is light or dark
 * with its page; it has a title and a description for those who don't see it,
 * and a title in each bar for those who point at it.  Bars begin at zero.  A few
 * that tower above all others, as after a drain, would flatten these: they are cut off
 * and marked, the axis says where, and what is left of such a bar shows its shares.
 * Times from a millisecond to a minute don't fit on a straight axis, so lines
 * are drawn on a logarithmic one, whose labels are decades.  Where nothing is
 * known there is a gap or a shade, never a zero.
 *
 * Only numbers of ours and words of ours come here.
 *
 * src/dashboard/svg_chart.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "dashboard/html.h"
#include "dashboard/svg_chart.h"

/* The drawing, in its own units: those of a phone's screen, about. */
#define WIDTH 400.0
#define HEIGHT 182.0
#define LEFT 48.0
#define RIGHT 392.0
#define TOP 20.0
#define BOTTOM 158.0

/* Bars are cut off if at most a fifth of them is so many times as high as all others. */
#define TOWERING 4
#define FEWEST_BARS 6

static double
x_of(const KgwChart *chart, double bucket)
{
	return LEFT + (RIGHT - LEFT) * bucket / chart->buckets;
}

static void
begin_svg(StringInfo out, const KgwChart *chart)
{
	appendStringInfo(out,
					 "<svg viewBox=\"0 0 %g %g\" role=\"img\" aria-labelledby=\"%s-t %s-d\">"
					 "<title id=\"%s-t\">%s</title><desc id=\"%s-d\">%s</desc>\n"
					 "<text class=\"unit\" x=\"2\" y=\"9\">%s</text>\n",
					 WIDTH, HEIGHT, chart->id, chart->id, chart->id, chart->title,
					 chart->id, chart->description, chart->unit);
	if (chart->unknown > 0)
		appendStringInfo(out, "<rect class=\"unknown\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>"
						 "<text class=\"mid\" x=\"%.1f\" y=\"%.1f\">not counted</text>\n",
						 LEFT, TOP, x_of(chart, chart->unknown) - LEFT, BOTTOM - TOP,
						 (LEFT + x_of(chart, chart->unknown)) / 2, TOP + 14);
}

/* The horizontal axis: a label at each full tick of the clock, UTC. */
static void
end(StringInfo out, const KgwChart *chart, bool empty)
{
	TimestampTz stop = chart->start + chart->bucket * chart->buckets;
	TimestampTz at = chart->start + chart->tick - 1;

	for (at -= at % chart->tick; at <= stop; at += chart->tick)
	{
		double		x = x_of(chart, (double) (at - chart->start) / chart->bucket);

		appendStringInfo(out, "<path class=\"axis\" d=\"M%.1f %gv4\"/>"
						 "<text class=\"mid\" x=\"%.1f\" y=\"%g\">",
						 x, BOTTOM, Min(Max(x, LEFT), RIGHT - 8), BOTTOM + 16);
		kgw_html_clock(out, at);
		appendStringInfoString(out, "</text>");
	}
	appendStringInfo(out, "<path class=\"axis\" d=\"M%g %gH%g\"/>\n", LEFT, BOTTOM, RIGHT);
	if (empty)
		appendStringInfo(out, "<text class=\"mid empty\" x=\"%g\" y=\"%g\">%s</text>",
						 (LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2, chart->empty);
	appendStringInfoString(out, "</svg>\n");
}

static void
grid_line(StringInfo out, double y)
{
	appendStringInfo(out, "<path class=\"grid\" d=\"M%g %.1fH%g\"/><text class=\"end\" x=\"%g\" y=\"%.1f\">",
					 LEFT, y, RIGHT, LEFT - 5, y + 3.5);
}

static int
compare_totals(const void *a, const void *b)
{
	int64		left = *(const int64 *) a;
	int64		right = *(const int64 *) b;

	return left < right ? 1 : left > right ? -1 : 0;
}

/* The highest bar that is to be drawn whole. */
static int64
highest_whole(const KgwChart *chart, const int64 *lower, const int64 *upper)
{
	int64	   *totals = palloc(sizeof(int64) * chart->buckets);
	int			bars = 0;
	int64		usual;

	for (int i = 0; i < chart->buckets; i++)
		if (lower[i] + upper[i] > 0)
			totals[bars++] = lower[i] + upper[i];
	if (bars == 0)
		return 0;
	qsort(totals, bars, sizeof(int64), compare_totals);
	usual = bars < FEWEST_BARS ? totals[0] : totals[bars / 5];
	return totals[0] / TOWERING > usual ? usual : totals[0];
}

/* Says above the axis where bars are cut off, and marks one that is. */
static void
say_cut(StringInfo out, int64 limit)
{
	appendStringInfo(out, "<text class=\"unit end\" x=\"%g\" y=\"9\">&#9650; higher than the axis, cut off at ", RIGHT);
	kgw_html_count(out, limit);
	appendStringInfoString(out, "</text>\n");
}

static void
mark_cut(StringInfo out, double middle)
{
	appendStringInfo(out, "<path class=\"cut\" d=\"M%.2f %gl2.5 -5l2.5 5z\"/>", middle - 2.5, TOP - 1);
}

/* The least of 1, 2, 5, 10, 20, ... that divides "most" into four at most. */
static int64
round_step(int64 most)
{
	for (int64 step = 1;; step *= 10)
	{
		if (step * 4 >= most)
			return step;
		if (step * 8 >= most)
			return step * 2;
		if (step * 20 >= most)
			return step * 5;
	}
}

static void
short_count(StringInfo out, int64 count)
{
	if (count >= 10000000)
		appendStringInfo(out, "%gM", count / 1e6);
	else if (count >= 10000)
		appendStringInfo(out, "%gk", count / 1e3);
	else
		kgw_html_count(out, count);
}

static void
bar(StringInfo out, const char *class, double x, double width, double from, double to)
{
	if (to > from)
		appendStringInfo(out, "<rect class=\"%s\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>",
						 class, x, BOTTOM - to, width, to - from);
}

/*
 * Two counts a bucket, "upper" standing on "lower"; their names are HTML.
 */
void
kgw_svg_chart_bars(StringInfo out, const KgwChart *chart, const int64 *lower, const int64 *upper,
			   const char *lower_name, const char *upper_name)
{
	double		gap = (RIGHT - LEFT) / chart->buckets * 0.15;
	int64		whole = highest_whole(chart, lower, upper);
	int64		step = round_step(Max(whole, 4));
	int64		limit = step * ((Max(whole, 4) + step - 1) / step);
	double		scale = (BOTTOM - TOP) / (double) limit;
	bool		cut = false;

	begin_svg(out, chart);
	for (int64 at = 0; at * scale <= BOTTOM - TOP + 0.01; at += step)
	{
		grid_line(out, BOTTOM - at * scale);
		short_count(out, at);
		appendStringInfoString(out, "</text>\n");
	}
	for (int i = 0; i < chart->buckets; i++)
	{
		double		x = x_of(chart, i) + gap / 2;
		double		width = x_of(chart, i + 1) - gap / 2 - x;
		int64		total = lower[i] + upper[i];
		double		own = total > limit ? (BOTTOM - TOP) / (double) total : scale;
		/* one among thousands is to be seen */
		double		least = upper[i] > 0 ? Max(upper[i] * own, 1.5) : 0;
		double		bottom = total > limit ? BOTTOM - TOP - least : lower[i] * own;

		if (total == 0)
			continue;
		appendStringInfoString(out, "<g><title>");
		kgw_html_clock(out, chart->start + chart->bucket * i);
		appendStringInfoString(out, " UTC: ");
		kgw_html_count(out, lower[i]);
		appendStringInfo(out, " %s, ", lower_name);
		kgw_html_count(out, upper[i]);
		appendStringInfo(out, " %s</title>", upper_name);
		bar(out, "good", x, width, 0, bottom);
		bar(out, "bad", x, width, bottom, bottom + least);
		if (total > limit)
		{
			mark_cut(out, x + width / 2);
			cut = true;
		}
		appendStringInfoString(out, "</g>\n");
	}
	if (cut)
		say_cut(out, limit);
	end(out, chart, whole == 0);
}

/* A line through the values that there are, a dot where one stands alone. */
static void
line(StringInfo out, const KgwChart *chart, const double *values, int number, int low, int decades)
{
	bool		drawing = false;

	appendStringInfo(out, "<path class=\"line l%d\" d=\"", number);
	for (int i = 0; i < chart->buckets; i++)
	{
		double		y;

		if (isnan(values[i]))
		{
			drawing = false;
			continue;
		}
		y = BOTTOM - (BOTTOM - TOP) * (log10(values[i]) - low) / decades;
		appendStringInfo(out, "%c%.1f %.1f", drawing ? 'L' : 'M', x_of(chart, i + 0.5), y);
		if (!drawing)
			appendStringInfoString(out, "h.1");
		drawing = true;
	}
	appendStringInfoString(out, "\"/>\n");
}

/*
 * Lines of milliseconds, a value a bucket, NaN where there is none; what is below
 * a hundredth has to be raised to that.
 */
void
kgw_svg_chart_lines(StringInfo out, const KgwChart *chart, double *const values[KGW_CHART_LINES])
{
	double		least = INFINITY;
	double		most = -INFINITY;
	int			low = 0;
	int			decades = 3;

	for (int n = 0; n < KGW_CHART_LINES; n++)
		for (int i = 0; i < chart->buckets; i++)
			if (!isnan(values[n][i]))
			{
				least = Min(least, values[n][i]);
				most = Max(most, values[n][i]);
			}
	if (most >= least)
	{
		low = (int) floor(log10(least));
		decades = Max((int) ceil(log10(most)) - low, 1);
	}

	begin_svg(out, chart);
	for (int i = 0; i <= decades; i++)
	{
		double		ms = pow(10, low + i);

		grid_line(out, BOTTOM - (BOTTOM - TOP) * i / decades);
		if (ms >= 1000)
			appendStringInfo(out, "%g s</text>\n", ms / 1000);
		else
			appendStringInfo(out, "%g ms</text>\n", ms);
	}
	for (int n = KGW_CHART_LINES - 1; n >= 0; n--)
		line(out, chart, values[n], n, low, decades);
	end(out, chart, most < least);
}
