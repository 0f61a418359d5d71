/*-------------------------------------------------------------------------
 *
 * findings.c
 *	  The top of the delivery page: is everything healthy, and if not, what is
 *	  wrong and what to do.
 *
 * A reader of the page is in a hurry.  So the worst finding gives one sentence
 * its color, all findings follow with their remedies, and then come the numbers
 * (tiles.c).  A page that looks healthy must mean that deliveries flow: whatever
 * stops them (not preloaded, no worker, a copy, switched off, paused) is an
 * alarm, even where it was done on purpose.
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
	WORKER_STATE = 1, IN_FLIGHT, DEAD_LETTERS, DEAD_LATELY, DIED_AT,
	LAST_ERROR, LAST_ERROR_AT, ALL_PAUSED_AT
};

static const char worker_query[] =
"SELECT w.worker_state, w.in_flight::int8, d.letters, d.lately, d.died_at,"
"       w.last_error, w.last_error_at,"
"       (SELECT p.paused_at FROM kgwebhook.paused p WHERE p.destination = '*')"
"  FROM kgwebhook.worker_stats() w,"
"       (SELECT count(*) AS letters, max(died_at) AS died_at,"
"               count(*) FILTER (WHERE died_at > now() - '1 day'::interval) AS lately"
"          FROM kgwebhook.dead_letter) d";

enum
{
	PENDING = 1, SINCE, SECRET, LATE, LATE_SINCE, BACKING_OFF, NEXT_PROBE, PAUSED
};

/*
 * The queue is brought down to its destinations before anything is joined to it.
 * What waits behind an older status of its object is due and not late for as
 * long as that may hold it; what a paused subscription gets isn't due at all.
 */
static const char backlog_query[] =
"SELECT sum(q.pending)::int8, min(q.since), sum(q.secret)::int8, sum(q.late) FILTER (WHERE d.state = 'ok')::int8,"
"       min(q.due_since) FILTER (WHERE d.state = 'ok' AND q.late > 0),"
"       count(*) FILTER (WHERE d.state = 'backing_off'),"
"       min(d.next_try) FILTER (WHERE d.state = 'backing_off'),"
"       (SELECT count(*) FROM kgwebhook.paused p WHERE p.destination <> '*')"
"  FROM kgwebhook.destinations d"
"  LEFT JOIN (SELECT k.destination, count(*) AS pending, min(k.enqueued_at) AS since,"
"                    count(*) FILTER (WHERE k.next_attempt_at = 'infinity') AS secret,"
"                    count(*) FILTER (WHERE k.late) AS late,"
"                    min(k.next_attempt_at) FILTER (WHERE k.late) AS due_since"
"               FROM (SELECT r.destination, r.enqueued_at, r.next_attempt_at,"
"                            r.next_attempt_at < now() - '10 minutes'::interval AND"
"                            (r.subscription_id IN (SELECT s.subscription_id FROM kgwebhook.subscription s"
"                                                    WHERE s.paused_at IS NOT NULL)) IS NOT TRUE AS late"
"                       FROM kgwebhook.queue r) k"
"              GROUP BY k.destination) q USING (destination)";

enum
{
	S_PAUSED = 1, S_DISABLED, S_DISABLED_LATELY, S_FAILING, S_FAILING_SINCE
};

/* One refused attempt is no news; ten minutes without an acknowledged one are. */
static const char subscriptions_query[] =
"SELECT count(*) FILTER (WHERE s.paused_at IS NOT NULL AND s.disabled_at IS NULL),"
"       count(*) FILTER (WHERE s.disabled_at IS NOT NULL),"
"       count(*) FILTER (WHERE s.disabled_at > now() - '1 day'::interval),"
"       count(*) FILTER (WHERE s.failing),"
"       min(s.failing_since) FILTER (WHERE s.failing)"
"  FROM (SELECT a.*, a.failing_since < now() - '10 minutes'::interval"
"               AND a.paused_at IS NULL AND a.disabled_at IS NULL AS failing"
"          FROM kgwebhook.subscription a) s";

static const char without_secret[] =
"SELECT q.org_id FROM kgwebhook.queue q WHERE q.next_attempt_at = 'infinity'"
" GROUP BY q.org_id ORDER BY count(*) DESC, q.org_id LIMIT 4";

typedef struct Findings
{
	KgwPage    *page;
	StringInfoData list;
	const char *verdict;		/* of the worst, HTML */
	KgwSeverity severity;
} Findings;

static const char *const severity_sign[] = {"&#10003;", "i", "!", "&#10007;"};
static const char *const severity_word[] = {"Good", "Note", "Warning", "Alarm"};

/*
 * Add a finding: HTML, the last a remedy or NULL.  The first of the worst is the
 * page's verdict.
 */
static void
add_finding(Findings *findings, KgwSeverity severity, const char *what, const char *remedy)
{
	appendStringInfo(&findings->list, "<li class=\"%s\"><b>%s.</b>", kgw_table_cells_class(severity), what);
	if (remedy != NULL)
		appendStringInfo(&findings->list, " %s", remedy);
	appendStringInfoString(&findings->list, "</li>\n");
	if (findings->verdict == NULL || severity > findings->severity)
	{
		findings->verdict = what;
		findings->severity = severity;
	}
}

/* "3 deliveries" */
static const char *
number_text(int64 count, const char *one, const char *many)
{
	StringInfoData out;

	initStringInfo(&out);
	kgw_table_cells_number(&out, count, one, many);
	return out.data;
}

static const char *
since_text(KgwPage *page, const char *what, TimestampTz at)
{
	KgwPage		part = *page;

	initStringInfo(&part.out);
	appendStringInfo(&part.out, "%s ", what);
	kgw_table_cells_ago(&part, at);
	appendStringInfoChar(&part.out, '.');
	return part.out.data;
}

static void
check_worker(Findings *findings, const char *state)
{
	if (strcmp(state, "not preloaded") == 0)
		add_finding(findings, KGW_ALARM, "Nothing is delivered: the server does not preload kgwebhook",
			 "Events are queued and wait. Add kgwebhook to <code>shared_preload_libraries</code> and restart the server.");
	else if (strcmp(state, "standby") == 0)
		add_finding(findings, KGW_WARNING, "This server is a standby, and sends nothing",
			 "Its primary delivers. This one does once it is promoted.");
	else if (strcmp(state, "not running") == 0)
		add_finding(findings, KGW_ALARM, "Nothing is delivered: no worker runs for this database",
			 "Events are queued and wait. The server&#39;s log says why, under &ldquo;kgwebhook&rdquo;; is <code>max_worker_processes</code> large enough?");
	else if (strcmp(state, "not adopted") == 0)
		add_finding(findings, KGW_ALARM, "Nothing is delivered: this database is a copy of another",
			 "Events are queued and wait. If it takes the original&#39;s place: <code>SELECT kg_adopt();</code>");
	else if (strcmp(state, "disabled") == 0)
		add_finding(findings, KGW_ALARM, "Nothing is delivered: kgwebhook.enabled is off",
			 "Events are queued and wait. <code>ALTER SYSTEM SET kgwebhook.enabled = on; SELECT pg_reload_conf();</code>");
}

/* Those that most deliveries without a secret are of. */
static const char *
name_organizations(void)
{
	KgwFacts	facts = {kgw_query_rows_read(without_secret, 0, NULL, NULL), 0};
	StringInfoData out;

	initStringInfo(&out);
	for (; facts.row < Min(facts.table->numvals, 3); facts.row++)
	{
		appendStringInfoString(&out, facts.row > 0 ? ", <q>" : "<q>");
		kgw_html_text(&out, kgw_query_rows_text(&facts, 1), 60);
		appendStringInfoString(&out, "</q>");
	}
	if (facts.row < facts.table->numvals)
		appendStringInfoString(&out, " and others");
	return out.data;
}

static void
check_backlog(Findings *findings, const KgwPageSummary *summary)
{
	if (summary->backing_off > 0)
		add_finding(findings, KGW_WARNING,
			 psprintf("%s backing off", number_text(summary->backing_off, "destination is", "destinations are")),
			 "Its circuit breaker lets a probe through from time to time; once one succeeds, everything that waits is sent in order. See <a href=\"#destinations\">destinations</a>.");
	if (summary->late > 0)
		add_finding(findings, KGW_WARNING,
			 psprintf("%s late", number_text(summary->late, "delivery is", "deliveries are")),
			 since_text(findings->page, "They are due, and their destination is healthy. The first was due at", summary->late_since));
	if (summary->secret > 0)
		add_finding(findings, KGW_WARNING,
			 psprintf("%s for a signing secret", number_text(summary->secret, "delivery waits", "deliveries wait")),
			 psprintf("Of the organization %s. They go out as soon as there is one: "
					  "<code>SELECT kg_create_secret(&#39;&hellip;&#39;);</code> "
					  "If there is one already, restore the file of kgwebhook.key_file, and set no other secret: "
					  "the server&#39;s log says why it cannot be decrypted.", name_organizations()));
	if (summary->paused > 0)
		add_finding(findings, KGW_WARNING,
			 psprintf("%s paused", number_text(summary->paused, "destination is", "destinations are")),
			 "To resume: <code>SELECT kg_resume(&#39;&hellip;&#39;);</code>. See <a href=\"#destinations\">destinations</a>.");
}

static void
check_subscriptions(Findings *findings, const KgwPageSummary *summary)
{
	if (summary->subscriptions_disabled > 0)
		add_finding(findings, summary->subscriptions_disabled_lately > 0 ? KGW_WARNING : KGW_NOTE,
			 psprintf("%s disabled", number_text(summary->subscriptions_disabled, "subscription is", "subscriptions are")),
			 "Its events become dead letters at once. When its receiver is fixed: <code>SELECT kg_resume_subscription(&hellip;);</code>. See <a href=\"#subscriptions\">subscriptions</a>.");
	if (summary->subscriptions_failing > 0)
		add_finding(findings, KGW_WARNING,
			 psprintf("%s failing", number_text(summary->subscriptions_failing, "subscription is", "subscriptions are")),
			 since_text(findings->page, "A receiver that acknowledges nothing for all of <code>kgwebhook.retry_schedule</code> is disabled. "
				   "See <a href=\"#subscriptions\">subscriptions</a>. The first has failed since", summary->subscriptions_failing_since));
	if (summary->subscriptions_paused > 0)
		add_finding(findings, KGW_WARNING,
			 psprintf("%s paused", number_text(summary->subscriptions_paused, "subscription is", "subscriptions are")),
			 "To resume: <code>SELECT kg_resume_subscription(&hellip;);</code>. See <a href=\"#subscriptions\">subscriptions</a>.");
}

static void
check_all(Findings *findings, const KgwPageSummary *summary)
{
	KgwPage    *page = findings->page;

	check_worker(findings, summary->worker_state);
	if (summary->all_paused)
		add_finding(findings, KGW_ALARM, "Nothing is delivered: everything is paused",
			 since_text(page, "To resume: <code>SELECT kg_resume();</code>. Paused at", summary->all_paused_at));
	check_backlog(findings, summary);
	if (summary->last_error_at > page->now - USECS_PER_HOUR)
	{
		StringInfoData text;

		initStringInfo(&text);
		kgw_html_text(&text, summary->last_error, 300);
		add_finding(findings, KGW_WARNING, "a worker has had an error",
			 psprintf("<q>%s</q> %s", text.data, since_text(page, "At", summary->last_error_at)));
	}
	if (summary->dead_lately > 0)
		add_finding(findings, KGW_WARNING,
			 psprintf("%s given up in the last 24 hours", number_text(summary->dead_lately, "delivery was", "deliveries were")),
			 "Fix the cause, then <code>SELECT kg_redeliver_object(&#39;&hellip;&#39;);</code>. See <a href=\"#deliveries\">deliveries</a>.");
	check_subscriptions(findings, summary);
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
	summary->last_error = kgw_query_rows_text(&facts, LAST_ERROR);
	summary->last_error_at = kgw_query_rows_time(&facts, LAST_ERROR_AT);
	summary->all_paused = !kgw_query_rows_null(&facts, ALL_PAUSED_AT);
	summary->all_paused_at = kgw_query_rows_time(&facts, ALL_PAUSED_AT);
	summary->delivers = !summary->all_paused &&
		(strcmp(summary->worker_state, "idle") == 0 || strcmp(summary->worker_state, "busy") == 0);
}

static void
read_backlog(KgwPageSummary *summary)
{
	KgwFacts	facts = {kgw_query_rows_read(backlog_query, 0, NULL, NULL), 0};

	summary->pending = kgw_query_rows_count(&facts, PENDING);
	summary->since = kgw_query_rows_time(&facts, SINCE);
	summary->secret = kgw_query_rows_count(&facts, SECRET);
	summary->late = kgw_query_rows_count(&facts, LATE);
	summary->late_since = kgw_query_rows_time(&facts, LATE_SINCE);
	summary->backing_off = kgw_query_rows_count(&facts, BACKING_OFF);
	summary->next_probe = kgw_query_rows_time(&facts, NEXT_PROBE);
	summary->paused = kgw_query_rows_count(&facts, PAUSED);
}

static void
count_subscriptions(KgwPageSummary *summary)
{
	KgwFacts	facts = {kgw_query_rows_read(subscriptions_query, 0, NULL, NULL), 0};

	summary->subscriptions_paused = kgw_query_rows_count(&facts, S_PAUSED);
	summary->subscriptions_disabled = kgw_query_rows_count(&facts, S_DISABLED);
	summary->subscriptions_disabled_lately = kgw_query_rows_count(&facts, S_DISABLED_LATELY);
	summary->subscriptions_failing = kgw_query_rows_count(&facts, S_FAILING);
	summary->subscriptions_failing_since = kgw_query_rows_time(&facts, S_FAILING_SINCE);
}

static void
draw_banner(KgwPage *page, const Findings *findings)
{
	appendStringInfo(&page->out,
					 "<div class=\"banner %s\" role=\"status\"><span class=\"sign\" aria-hidden=\"true\">%s</span>"
					 "<p><span class=\"hidden\">%s: </span>%s</p></div>\n",
					 kgw_table_cells_class(findings->severity), severity_sign[findings->severity],
					 severity_word[findings->severity], findings->verdict);
	if (findings->list.len > 0)
		appendStringInfo(&page->out, "<ul class=\"findings\">\n%s</ul>\n", findings->list.data);
}

/*
 * The verdict, what was found, and the numbers.  Returns the verdict for the
 * title: HTML, palloc'd.
 */
const char *
kgw_findings_draw(KgwPage *page)
{
	Findings	findings = {.page = page, .severity = KGW_OK};
	KgwPageSummary summary = {0};

	initStringInfo(&findings.list);
	read_worker(&summary);
	read_backlog(&summary);
	count_subscriptions(&summary);
	check_all(&findings, &summary);
	if (findings.severity < KGW_ALARM && findings.verdict != NULL && summary.delivers)
		findings.verdict = psprintf("Deliveries flow, but %s", findings.verdict);
	if (findings.verdict == NULL)
		findings.verdict = summary.pending == 0 ? "Everything is healthy: nothing waits" : "Everything is healthy: deliveries flow";
	draw_banner(page, &findings);
	kgw_tiles_draw(page, &summary);
	return findings.verdict;
}
