/*-------------------------------------------------------------------------
 *
 * page.c
 *	  kg_dashboard(): the delivery page, one HTML document that needs nothing
 *	  else.
 *
 * Much of what it shows was written by third parties, and it is opened by the very
 * people who may do everything.  So there are two walls.  What isn't ours
 * becomes text in one place, dashboard/html.c.  And the document's own policy
 * lets a browser run the one script and apply the one style whose hashes it
 * names, and fetch nothing, so that even a slip of the first wall could not run.
 * (Therefore no element has a style, and none an event handler.)
 *
 * It has to be made while things are at their worst, so it is bounded in time and
 * size, whatever log and queue hold; each part says how.  It works where
 * nothing is preloaded, on a standby and in a copy, and says so.  It waits for no
 * lock for long: a part whose table someone has locked is left out, which the page
 * says in its place, and its headline says who holds the lock.
 *
 * src/dashboard/page.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/evp.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

#include "dashboard/html.h"
#include "dashboard/page.h"
#include "pg/extension.h"

PG_FUNCTION_INFO_V1(kg_dashboard);

/* Characters of a database's name, or an organization's. */
#define WHOSE_MAX 255

/* Made of page.css and page.js by the Makefile. */
static const char style[] =
#include "dashboard/page.css.inc"
;
static const char script[] =
#include "dashboard/page.js.inc"
;

/* The hash of a style or script, as a policy names it. */
static void
append_hash(StringInfo out, const char *content)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned char base64[EVP_MAX_MD_SIZE * 2];
	unsigned int len = 0;

	if (EVP_Digest(content, strlen(content), digest, &len, EVP_sha256(), NULL) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute a hash")));
	(void) EVP_EncodeBlock(base64, digest, (int) len);
	appendStringInfo(out, "'sha256-%s'", (const char *) base64);
}

static void
append_head(KgwPage *page, const char *whose, const char *headline, const char *sections)
{
	StringInfo	out = &page->out;

	appendStringInfoString(out,
						   "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
						   "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src ");
	append_hash(out, style);
	appendStringInfoString(out, "; script-src ");
	append_hash(out, script);
	appendStringInfoString(out,
						   "; img-src data:; base-uri 'none'; form-action 'none'\">\n"
						   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
						   "<meta name=\"referrer\" content=\"no-referrer\">\n"
						   "<meta name=\"robots\" content=\"noindex\">\n"
						   "<link rel=\"icon\" href=\"data:,\">\n<title>");
	appendStringInfo(out, "%s - ", headline);
	kgw_html_text(out, whose, WHOSE_MAX);
	appendStringInfo(out, "</title>\n<style>%s</style>\n</head>\n<body data-made=\"" INT64_FORMAT "\">\n<header><h1>Webhooks of ",
					 style, page->now / USECS_PER_SEC +
					 (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY);
	kgw_html_text(out, whose, WHOSE_MAX);
	appendStringInfoString(out, "</h1><p>as of ");
	kgw_html_time(out, page->now, DT_NOBEGIN);
	appendStringInfo(out, " UTC, like all times without another word &middot; kgwebhook " KGW_VERSION "</p><nav>%s</nav></header>\n", sections);
}

/* The parts of the page, in the order of their urgency. */
static void
append_body(KgwPage *page)
{
	kgw_findings_draw(page);
	(void) kgw_page_part_draw(page, kgw_sources_draw, "Sources");
	(void) kgw_page_part_draw(page, kgw_traffic_draw, "Traffic");
	(void) kgw_page_part_draw(page, kgw_destinations_draw, "Destinations");
	appendStringInfoString(&page->out,
						   "<form id=\"search\" role=\"search\" hidden><input id=\"field\" type=\"search\" autocomplete=\"off\" "
						   "spellcheck=\"false\" placeholder=\"Object, organization or delivery\" aria-label=\"Search by object, organization or delivery\">"
						   "<p id=\"found\" role=\"status\"></p></form>\n");
	(void) kgw_page_part_draw(page, kgw_deliveries_draw_failures, "Failures");
	(void) kgw_page_part_draw(page, kgw_deliveries_draw, "Deliveries");
}

/* The role that called, as whom the function does not run (api/caller.c). */
static Oid
caller_of_page(void)
{
	KgwFacts	facts = {kgw_query_rows_read("SELECT kgwebhook.caller()::pg_catalog.int8", 0, NULL, NULL), 0};

	return (Oid) kgw_query_rows_count(&facts, 1);
}

/* Whether row security shows a role all of the log: it has no policy but ours, for no merchant's role. */
static bool
sees_every_row(Oid role)
{
	Oid			types[] = {OIDOID};
	Datum		args[] = {ObjectIdGetDatum(role)};
	KgwFacts	facts = {.row = 0};

	facts.table = kgw_query_rows_read("SELECT NOT pg_catalog.has_function_privilege($1,"
									  "         'kgwebhook.own_organization()'::pg_catalog.regprocedure, 'EXECUTE')"
									  "   AND NOT EXISTS (SELECT FROM pg_catalog.pg_policy p"
									  "                    WHERE p.polrelid OPERATOR(pg_catalog.=) 'kgwebhook.delivery_log'::pg_catalog.regclass"
									  "                      AND p.polname OPERATOR(pg_catalog.<>) ALL ('{kgwebhook_all,kgwebhook_own_organization}'))",
									  1, types, args);
	return kgw_query_rows_flag(&facts, 1);
}

/*
 * What was sent and answered is in the log.  Who may read that, all of it, may
 * read it here.  The function runs as its owner; what counts is who called.
 */
static bool
may_read_bodies(void)
{
	Oid			log = kgw_extension_relation("delivery_log");
	Oid			role = caller_of_page();

	return pg_class_aclcheck(log, role, ACL_SELECT) == ACLCHECK_OK &&
		(check_enable_rls(log, role, true) != RLS_ENABLED || sees_every_row(role));
}

/* Compiling takes longer than these queries do, and no lock is worth waiting for. */
static int
hurry(void)
{
	int			level = NewGUCNestLevel();

	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("lock_timeout", "300ms", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return level;
}

/*
 * The document around a page's body: its head, whose it is, what the title says of it, and links
 * to its sections.  Allocated in "context".
 */
text *
kgw_page_document(const KgwPage *body, const char *whose, const char *headline, const char *sections,
				  MemoryContext context)
{
	KgwPage		page = {.now = body->now};
	MemoryContext caller;
	text	   *result;

	initStringInfo(&page.out);
	append_head(&page, whose, headline, sections);
	appendStringInfo(&page.out,
					 "<p id=\"stale\" role=\"status\" hidden></p>\n<main>\n%s</main>\n<script>%s</script>\n</body>\n</html>\n",
					 body->out.data, script);
	caller = MemoryContextSwitchTo(context);
	result = cstring_to_text_with_len(page.out.data, page.out.len);
	MemoryContextSwitchTo(caller);
	return result;
}

/*
 * kg_dashboard() -> text.  ASCII, whatever the encodings.
 */
Datum
kg_dashboard(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	KgwPage		body = {.now = GetCurrentTransactionStartTimestamp()};
	text	   *result;
	int			level = hurry();

	SPI_connect();
	body.bodies = may_read_bodies();
	initStringInfo(&body.out);
	append_body(&body);
	result = kgw_page_document(&body, get_database_name(MyDatabaseId), body.headline,
							   "<a href=\"#destinations\">Destinations</a> <a href=\"#failures\">Failures, search</a> "
							   "<a href=\"#deliveries\">Deliveries</a>", caller);
	SPI_finish();
	AtEOXact_GUC(true, level);
	PG_RETURN_TEXT_P(result);
}
