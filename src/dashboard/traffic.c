/*-------------------------------------------------------------------------
 *
 * traffic.c
 *	  The delivery page's charts: how many attempts, and how long they took.
 *
 * The log is read once, and no more than the last two days and the last million
 * attempts of it, so that the page costs as much with a large log as with a huge
 * one: the days' partitions and the index of attempt_id lead there.  Of the first
 * day only the rate of success is wanted, to compare.  Where a million doesn't reach
 * back a day, the chart says so.
 *
 * Durations are counted in steps of 4 % rather than sorted, so a percentile is
 * right to 2 %, which no drawing shows, and the read can be shared by parallel
 * workers.  What never reached a receiver says nothing about how fast it is.
 *
 * src/dashboard/traffic.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"

#include "dashboard/html.h"
#include "dashboard/page.h"
#include "dashboard/svg_chart.h"

#define ATTEMPTS_READ 1000000

#define QUARTER (15 * USECS_PER_MINUTE)
#define QUARTERS 96
#define MINUTES 60

/* Steps of 4 %, from 0.01 ms (-116) to 10 h (436). */
#define STEPS_PER_E 25
#define FIRST_STEP (-116)
#define STEPS 560

typedef struct KgwTraffic
{
	int			buckets;
	int64		before[2];		/* failed and acknowledged, in the same time of the day before */
	int64		acknowledged[QUARTERS];
	int64		failed[QUARTERS];
	int64		answered[QUARTERS];
	int64		took[QUARTERS][STEPS];
} KgwTraffic;

/* Which attempt is the last that isn't read, 0 if all are. */
static const char last_unread[] =
"SELECT greatest(s.last_value - $1, 0) FROM kgwebhook.attempt_id_seq s";

static const char is_cut[] =
"SELECT EXISTS (SELECT FROM kgwebhook.delivery_log l"
"                WHERE l.started_at >= $1 AND l.attempt_id <= $2 AND l.attempt_id > $2 - 1000)";

static const char attempts[] =
"SELECT CASE WHEN l.started_at >= $1"
"            THEN (date_part('epoch', date_bin('15 min', l.started_at, $1) - $1) / 900)::int8 ELSE -1 END,"
"       CASE WHEN l.started_at >= $2"
"            THEN (date_part('epoch', date_bin('1 min', l.started_at, $2) - $2) / 60)::int8 END,"
"       l.outcome = 'acknowledged',"
"       CASE WHEN l.started_at >= $1 AND l.outcome IN ('acknowledged', 'rejected', 'timed_out')"
"            THEN floor(ln(least(greatest(l.duration_ms, 0.01), 3.6e7)) * 25)::int8 END,"
"       count(*)"
"  FROM kgwebhook.delivery_log l"
" WHERE l.started_at >= $4 AND (l.started_at >= $1 OR l.started_at < $5) AND l.attempt_id > $3"
"   AND NOT l.is_test AND l.outcome <> 'superseded'"
" GROUP BY 1, 2, 3, 4";

static const double shares[KGW_CHART_LINES] = {0.5, 0.95, 0.99};
static const char *const names[KGW_CHART_LINES] = {"p50", "p95", "p99"};

static KgwTraffic *
new_traffic(int buckets)
{
	KgwTraffic *traffic = palloc0(sizeof(KgwTraffic));

	traffic->buckets = buckets;
	return traffic;
}

/* The clock may have been set back since an attempt: it is counted as of now. */
static void
add_attempts(KgwTraffic *traffic, int64 bucket, const KgwFacts *facts)
{
	int64		count = kgw_query_rows_count(facts, 5);

	bucket = Min(bucket, traffic->buckets - 1);
	if (kgw_query_rows_flag(facts, 3))
		traffic->acknowledged[bucket] += count;
	else
		traffic->failed[bucket] += count;
	if (!kgw_query_rows_null(facts, 4))
	{
		int64		step = kgw_query_rows_count(facts, 4) - FIRST_STEP;

		traffic->answered[bucket] += count;
		traffic->took[bucket][Min(Max(step, 0), STEPS - 1)] += count;
	}
}

/* Milliseconds that "share" of a bucket's answers took no longer than; or NaN. */
static double
percentile(const KgwTraffic *traffic, int bucket, double share)
{
	int64		left = (int64) ceil(traffic->answered[bucket] * share);

	if (traffic->answered[bucket] == 0)
		return NAN;
	for (int step = 0; step < STEPS; step++)
	{
		left -= traffic->took[bucket][step];
		if (left <= 0)
			return Max(exp((step + FIRST_STEP + 0.5) / STEPS_PER_E), 0.01);
	}
	return NAN;
}

static void
append_ms(StringInfo out, const char *name, double ms)
{
	appendStringInfo(out, ", %s %.3g %s", name, ms >= 1000 ? ms / 1000 : ms, ms >= 1000 ? "s" : "ms");
}

static const char *
describe_counts(const KgwChart *chart, const KgwTraffic *traffic)
{
	StringInfoData out;
	int64		acknowledged = 0;
	int64		failed = 0;
	int			most = 0;

	for (int i = 0; i < traffic->buckets; i++)
	{
		acknowledged += traffic->acknowledged[i];
		failed += traffic->failed[i];
		if (traffic->acknowledged[i] + traffic->failed[i] >
			traffic->acknowledged[most] + traffic->failed[most])
			most = i;
	}
	initStringInfo(&out);
	kgw_html_count(&out, acknowledged);
	appendStringInfoString(&out, " attempts were acknowledged and ");
	kgw_html_count(&out, failed);
	appendStringInfoString(&out, " failed");
	if (acknowledged + failed > 0)
	{
		appendStringInfoString(&out, "; most at ");
		kgw_html_clock(&out, chart->start + chart->bucket * most);
		appendStringInfoString(&out, " UTC: ");
		kgw_html_count(&out, traffic->acknowledged[most] + traffic->failed[most]);
	}
	appendStringInfoString(&out, ".");
	return out.data;
}

static const char *
describe_times(const KgwChart *chart, double *const values[KGW_CHART_LINES])
{
	StringInfoData out;
	int			slowest = -1;

	for (int i = 0; i < chart->buckets; i++)
		if (!isnan(values[1][i]) && (slowest < 0 || values[1][i] > values[1][slowest]))
			slowest = i;
	initStringInfo(&out);
	if (slowest < 0)
		appendStringInfoString(&out, "No answer in this time.");
	else
	{
		appendStringInfoString(&out, "Slowest at ");
		kgw_html_clock(&out, chart->start + chart->bucket * slowest);
		appendStringInfoString(&out, " UTC");
		for (int n = 0; n < KGW_CHART_LINES; n++)
			append_ms(&out, names[n], values[n][slowest]);
		appendStringInfoChar(&out, '.');
	}
	return out.data;
}

static void
figure_begin(KgwPage *page, const KgwChart *chart)
{
	appendStringInfo(&page->out, "<figure><figcaption>%s</figcaption>", chart->title);
}

static void
draw_counts(KgwPage *page, KgwChart chart, const KgwTraffic *traffic)
{
	chart.empty = "no attempts in this time";
	chart.description = describe_counts(&chart, traffic);
	figure_begin(page, &chart);
	appendStringInfoString(&page->out,
						   "<p class=\"legend\"><span class=\"k good\">acknowledged</span> "
						   "<span class=\"k bad\">failed</span></p>");
	kgw_svg_chart_bars(&page->out, &chart, traffic->acknowledged, traffic->failed,
				   "acknowledged", "failed");
	appendStringInfo(&page->out, "<p class=\"said\">%s</p></figure>\n", chart.description);
}

static void
draw_times(KgwPage *page, KgwChart chart, const KgwTraffic *traffic)
{
	double	   *values[KGW_CHART_LINES];

	for (int n = 0; n < KGW_CHART_LINES; n++)
	{
		values[n] = palloc(sizeof(double) * traffic->buckets);
		for (int i = 0; i < traffic->buckets; i++)
			values[n][i] = percentile(traffic, i, shares[n]);
	}
	chart.unit = "time to the answer, logarithmic";
	chart.empty = "no answers in this time";
	chart.description = describe_times(&chart, values);
	figure_begin(page, &chart);
	appendStringInfoString(&page->out, "<p class=\"legend\">");
	for (int n = 0; n < KGW_CHART_LINES; n++)
		appendStringInfo(&page->out, "<span class=\"k l%d\">%s</span> ", n, names[n]);
	appendStringInfoString(&page->out, "</p>");
	kgw_svg_chart_lines(&page->out, &chart, values);
	appendStringInfo(&page->out, "<p class=\"said\">%s</p></figure>\n", chart.description);
}

/* Buckets at the beginning that were not counted, or not wholly. */
static int
unknown_buckets(const KgwTraffic *traffic)
{
	for (int i = 0; i < traffic->buckets; i++)
		if (traffic->acknowledged[i] + traffic->failed[i] > 0)
			return i + 1;
	return traffic->buckets;
}

/* Acknowledged attempts in hundredths of a percent, of which 100 % are all. */
static int64
rate_of(const int64 counts[2])
{
	return counts[true] * 10000 / (counts[false] + counts[true]);
}

static void
append_rate(StringInfo out, const int64 counts[2])
{
	int64		rate = rate_of(counts);

	appendStringInfo(out, "%d.%02d %%", (int) (rate / 100), (int) (rate % 100));
}

/* How many attempts were acknowledged, beside the day before; a point less has a color. */
static void
draw_success(KgwPage *page, const KgwTraffic *day, bool cut, bool cut_before)
{
	int64		counts[2] = {0, 0};
	int64		change;
	int64		size;

	for (int i = 0; i < day->buckets; i++)
	{
		counts[false] += day->failed[i];
		counts[true] += day->acknowledged[i];
	}
	if (counts[false] + counts[true] == 0)
		return;
	appendStringInfoString(&page->out, "<p class=\"success\"><b>");
	append_rate(&page->out, counts);
	appendStringInfoString(&page->out, "</b> of ");
	kgw_table_cells_number(&page->out, counts[false] + counts[true], "attempt", "attempts");
	appendStringInfoString(&page->out, cut ? " that are counted here were acknowledged" : " in the last 24 hours were acknowledged");
	if (cut || cut_before)
		appendStringInfoString(&page->out, "; the day before is not counted");
	else if (day->before[false] + day->before[true] == 0)
		appendStringInfoString(&page->out, "; the day before had none");
	else
	{
		change = rate_of(counts) - rate_of(day->before);
		size = change < 0 ? -change : change;
		appendStringInfo(&page->out, ", <span class=\"state %s\">%d.%02d points %s</span> than the day before: ",
						 change <= -100 ? "warning" : "ok", (int) (size / 100), (int) (size % 100),
						 change < 0 ? "less" : "more");
		append_rate(&page->out, day->before);
		appendStringInfoString(&page->out, " of ");
		kgw_html_count(&page->out, day->before[false] + day->before[true]);
	}
	appendStringInfoString(&page->out, ".</p>\n");
}

static void
draw(KgwPage *page, const KgwTraffic *hour, TimestampTz hour_start,
	 const KgwTraffic *day, TimestampTz day_start, bool cut, bool cut_before)
{
	KgwChart	chart = {.start = hour_start, .bucket = USECS_PER_MINUTE, .buckets = MINUTES,
	.tick = QUARTER};

	if (cut && unknown_buckets(day) == QUARTERS)
		chart.unknown = unknown_buckets(hour);
	appendStringInfoString(&page->out,
						   "<section id=\"traffic\"><h2>Throughput and latency</h2>\n");
	draw_success(page, day, cut, cut_before);
	kgw_table_cells_fold(page, "Show");
	appendStringInfoString(&page->out, "<div class=\"charts\">\n");
	chart.id = "hour-count";
	chart.title = "Attempts, the last hour";
	chart.unit = "attempts a minute";
	draw_counts(page, chart, hour);
	chart.id = "hour-time";
	chart.title = "Latency, the last hour";
	draw_times(page, chart, hour);

	chart.start = day_start;
	chart.bucket = QUARTER;
	chart.buckets = QUARTERS;
	chart.tick = 6 * USECS_PER_HOUR;
	chart.unknown = cut ? unknown_buckets(day) : 0;
	chart.id = "day-count";
	chart.title = "Attempts, the last 24 hours";
	chart.unit = "attempts in 15 minutes";
	draw_counts(page, chart, day);
	chart.id = "day-time";
	chart.title = "Latency, the last 24 hours";
	draw_times(page, chart, day);
	appendStringInfoString(&page->out, "</div>\n");
	if (cut)
	{
		appendStringInfoString(&page->out, "<p class=\"note\">Only the latest ");
		kgw_html_count(&page->out, ATTEMPTS_READ);
		appendStringInfoString(&page->out, " attempts are counted; they do not reach back a whole day.</p>\n");
	}
	appendStringInfoString(&page->out, "<p class=\"note\">Times of the axes are UTC. Tests are left out.</p></section>\n");
}

static int64
read_last_unread(void)
{
	Datum		arg = Int64GetDatum(ATTEMPTS_READ);
	Oid			type = INT8OID;
	KgwFacts	facts = {kgw_query_rows_read(last_unread, 1, &type, &arg), 0};

	return kgw_query_rows_count(&facts, 1);
}

/* Whether attempts since then aren't read. */
static bool
read_is_cut(TimestampTz since, int64 unread)
{
	Oid			types[2] = {TIMESTAMPTZOID, INT8OID};
	Datum		args[2] = {TimestampTzGetDatum(since), Int64GetDatum(unread)};
	KgwFacts	facts = {.row = 0};

	if (unread == 0)
		return false;
	facts.table = kgw_query_rows_read(is_cut, 2, types, args);
	return kgw_query_rows_flag(&facts, 1);
}

/*
 * The success rate, and the charts.
 */
void
kgw_traffic_draw(KgwPage *page)
{
	TimestampTz hour_start = page->now - page->now % USECS_PER_MINUTE - (MINUTES - 1) * USECS_PER_MINUTE;
	TimestampTz day_start = page->now - page->now % QUARTER - (QUARTERS - 1) * QUARTER;
	int64		unread = read_last_unread();
	Oid			types[5] = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		args[5] = {TimestampTzGetDatum(day_start), TimestampTzGetDatum(hour_start), Int64GetDatum(unread),
	TimestampTzGetDatum(day_start - USECS_PER_DAY), TimestampTzGetDatum(page->now - USECS_PER_DAY)};
	KgwTraffic *hour = new_traffic(MINUTES);
	KgwTraffic *day = new_traffic(QUARTERS);
	KgwFacts	facts = {kgw_query_rows_read(attempts, 5, types, args), 0};

	for (; facts.row < facts.table->numvals; facts.row++)
	{
		if (kgw_query_rows_count(&facts, 1) < 0)
		{
			day->before[kgw_query_rows_flag(&facts, 3)] += kgw_query_rows_count(&facts, 5);
			continue;
		}
		add_attempts(day, kgw_query_rows_count(&facts, 1), &facts);
		if (!kgw_query_rows_null(&facts, 2))
			add_attempts(hour, kgw_query_rows_count(&facts, 2), &facts);
	}
	SPI_freetuptable(facts.table);
	draw(page, hour, hour_start, day, day_start, read_is_cut(day_start, unread),
		 read_is_cut(day_start - USECS_PER_DAY, unread));
}
