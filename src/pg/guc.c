/*-------------------------------------------------------------------------
 *
 * guc.c
 *	  The kgwebhook.* settings (design A3).
 *
 * All of them are PGC_SIGHUP: they steer the delivery that serves the
 * whole server, so a session's own value could only mislead, and only a
 * superuser can write the configuration file.  The exception is "workers",
 * which sizes what the launcher starts.
 *
 * The settings with a little language of their own (schedule, networks, ports,
 * retention, source, proxy) are parsed in their check hooks, so that a bad value is refused at reload
 * and the good one stays in force; the parsed form travels as the hook's
 * "extra" and nobody ever parses one again.
 *
 * This file must never read a table or know who uses a setting.
 *
 * src/pg/guc.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "pg/compat.h"
#include "pg/guc.h"

KgwSettings kgw_settings;

/* The texts behind the parsed settings; guc.c owns them. */
static char *retry_schedule_text;
static char *allowed_networks_text;
static char *allowed_ports_text;
static char *log_retention_text;
static char *org_id_text;
static char *source_address_text;
static char *proxy_text;

/* What the check hooks share: keep the parsed form, or say why not. */
static bool
accept_parsed(bool parsed, const char *problem, void *form, void **extra)
{
	if (parsed)
	{
		*extra = form;
		return true;
	}
	GUC_check_errcode(ERRCODE_INVALID_PARAMETER_VALUE);
	GUC_check_errdetail("%s", problem);
	kgw_compat_guc_free(form);
	return false;
}

static bool
check_retry_schedule(char **newval, void **extra, GucSource source)
{
	char		problem[128] = "";
	KgwSchedule *form = kgw_compat_guc_malloc(sizeof(KgwSchedule));

	if (form == NULL)
		return false;
	return accept_parsed(kgw_retry_schedule_parse(*newval, form, problem, sizeof(problem)),
						 problem, form, extra);
}

static void
assign_retry_schedule(const char *newval, void *extra)
{
	kgw_settings.schedule = extra;
}

static bool
check_allowed_networks(char **newval, void **extra, GucSource source)
{
	char		problem[128] = "";
	KgwNetworks *form = kgw_compat_guc_malloc(sizeof(KgwNetworks));

	if (form == NULL)
		return false;
	return accept_parsed(kgw_ip_filter_parse_networks(*newval, form, problem, sizeof(problem)),
						 problem, form, extra);
}

static void
assign_allowed_networks(const char *newval, void *extra)
{
	kgw_settings.allowed_networks = extra;
}

static bool
check_allowed_ports(char **newval, void **extra, GucSource source)
{
	char		problem[128] = "";
	KgwPorts   *form = kgw_compat_guc_malloc(sizeof(KgwPorts));

	if (form == NULL)
		return false;
	return accept_parsed(kgw_ports_parse(*newval, form, problem, sizeof(problem)),
						 problem, form, extra);
}

static void
assign_allowed_ports(const char *newval, void *extra)
{
	kgw_settings.allowed_ports = extra;
}

static bool
check_source_address(char **newval, void **extra, GucSource source)
{
	char		problem[128] = "";
	KgwSource  *form = kgw_compat_guc_malloc(sizeof(KgwSource));

	if (form == NULL)
		return false;
	return accept_parsed(kgw_egress_settings_parse_source(*newval, form, problem, sizeof(problem)),
						 problem, form, extra);
}

static void
assign_source_address(const char *newval, void *extra)
{
	kgw_settings.source = extra;
}

/*
 * A value with credentials in it is not quoted, by the message nor by the statement that
 * the log would have below it.
 */
static bool
refuse_credentials(void)
{
	static const char shown[] = "ALTER SYSTEM SET kgwebhook.proxy = ...";

	if (MyBackendType == B_BACKEND)
	{
		debug_query_string = shown;
		pgstat_report_activity(STATE_RUNNING, shown);
	}
	GUC_check_errcode(ERRCODE_INVALID_PARAMETER_VALUE);
	GUC_check_errmsg("invalid value for parameter \"kgwebhook.proxy\"");
	GUC_check_errdetail("It has credentials in it, which the server's log would have too.");
	GUC_check_errhint("Put user:password into the file of \"kgwebhook.proxy_credentials_file\".");
	return false;
}

static bool
check_proxy(char **newval, void **extra, GucSource source)
{
	char		problem[128] = "";
	KgwProxy   *form;

	if (kgw_egress_settings_has_credentials(*newval))
		return refuse_credentials();
	form = kgw_compat_guc_malloc(sizeof(KgwProxy));
	if (form == NULL)
		return false;
	return accept_parsed(kgw_egress_settings_parse_proxy(*newval, form, problem, sizeof(problem)),
						 problem, form, extra);
}

static void
assign_proxy(const char *newval, void *extra)
{
	kgw_settings.proxy = extra;
}

/*
 * Only the form: a server must not refuse to start because of a file that can
 * be fixed while payments go on.
 */
static bool
check_private_file(char **newval, void **extra, GucSource source)
{
	if ((*newval)[0] == '\0' || is_absolute_path(*newval))
		return true;
	GUC_check_errcode(ERRCODE_INVALID_PARAMETER_VALUE);
	GUC_check_errdetail("It is not an absolute path.");
	return false;
}

/*
 * An interval as SQL has it.  Its input function raises errors, which a check
 * hook must not: a bad line in the configuration file would end the postmaster.
 */
static bool
parse_interval(const char *text, Interval *span)
{
	char		work[256];
	char	   *field[MAXDATEFIELDS];
	int			ftype[MAXDATEFIELDS];
	int			fields;
	int			dtype;
	struct pg_itm_in itm;

	memset(&itm, 0, sizeof(itm));
	return ParseDateTime(text, work, sizeof(work), field, ftype, MAXDATEFIELDS, &fields) == 0 &&
		DecodeInterval(field, ftype, fields, INTERVAL_FULL_RANGE, &dtype, &itm) == 0 &&
		dtype == DTK_DELTA &&
		itmin2interval(&itm, span) == 0;
}

/*
 * The log is dropped by whole days, so less than one makes no sense; and 0 might
 * be meant as never or as at once.
 */
static bool
parse_retention(const char *text, KgwRetention *form)
{
	form->forever = strcmp(text, "-1") == 0;
	if (form->forever)
		return true;
	return parse_interval(text, &form->span) &&
		form->span.month >= 0 && form->span.day >= 0 && form->span.time >= 0 &&
		(form->span.month > 0 || form->span.day > 0 || form->span.time >= USECS_PER_DAY);
}

static bool
check_log_retention(char **newval, void **extra, GucSource source)
{
	KgwRetention *form = kgw_compat_guc_malloc(sizeof(KgwRetention));

	if (form == NULL)
		return false;
	memset(form, 0, sizeof(*form));
	return accept_parsed(parse_retention(*newval, form),
						 "It is an interval of at least one day, or -1 to keep everything.",
						 form, extra);
}

static void
assign_log_retention(const char *newval, void *extra)
{
	kgw_settings.log_retention = extra;
}

static void
define_limits(void)
{
	DefineCustomIntVariable("kgwebhook.max_in_flight",
							"Requests a worker has on the network at once.",
							NULL, &kgw_settings.max_in_flight,
							1000, 1, 10000, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("kgwebhook.max_in_flight_per_destination",
							"Requests a worker has on the network at once to one destination.",
							NULL, &kgw_settings.max_in_flight_per_destination,
							32, 1, 10000, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("kgwebhook.connect_timeout",
							"Time a connection may take, including name lookup and TLS.",
							NULL, &kgw_settings.connect_timeout,
							5000, 10, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("kgwebhook.request_timeout",
							"Time an attempt may take, from its beginning to its answer.",
							NULL, &kgw_settings.request_timeout,
							15000, 10, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("kgwebhook.response_body_limit",
							"Bytes of an answer that the log keeps.",
							NULL, &kgw_settings.response_body_limit,
							4096, 0, 1024 * 1024, PGC_SIGHUP, GUC_UNIT_BYTE, NULL, NULL, NULL);
}

static const struct config_enum_entry send_when_values[] = {
	{"flushed", KGW_SEND_FLUSHED, false},
	{"replicated", KGW_SEND_REPLICATED, false},
	{NULL, 0, false}
};

static void
define_log(void)
{
	DefineCustomStringVariable("kgwebhook.log_retention",
							   "Time for which kgwebhook.delivery_log keeps attempts.",
							   "-1 keeps everything.",
							   &log_retention_text, "30 days",
							   PGC_SIGHUP, 0,
							   check_log_retention, assign_log_retention, NULL);
}

static void
define_retries(void)
{
	DefineCustomStringVariable("kgwebhook.retry_schedule",
							   "Delays after the first, second, ... failed attempt.",
							   "A delivery that fails once more after the last becomes a dead letter.",
							   &retry_schedule_text,
							   "5s,30s,2min,10min,30min,2h,5h,10h,14h,20h,24h",
							   PGC_SIGHUP, 0,
							   check_retry_schedule, assign_retry_schedule, NULL);
	DefineCustomRealVariable("kgwebhook.retry_jitter",
							 "Share of a delay by which it is randomly shortened or lengthened.",
							 NULL, &kgw_settings.retry_jitter,
							 0.2, 0.0, 1.0, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("kgwebhook.max_hold",
							"Time for which a transition that is refused may hold the newer ones of its object.",
							"Counted while its destination is healthy; then it is settled as superseded.",
							&kgw_settings.max_hold,
							5 * 60 * 1000, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
}

static void
define_ssrf_filter(void)
{
	DefineCustomBoolVariable("kgwebhook.allow_http",
							 "Allows http:// URLs besides https://.",
							 NULL, &kgw_settings.allow_http,
							 false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("kgwebhook.allowed_networks",
							   "Networks (CIDR) that the SSRF filter lets pass although they are private or reserved.",
							   NULL, &allowed_networks_text, "",
							   PGC_SIGHUP, 0,
							   check_allowed_networks, assign_allowed_networks, NULL);
	DefineCustomStringVariable("kgwebhook.allowed_ports",
							   "Ports and ranges of ports that URLs may name.",
							   NULL, &allowed_ports_text, "443,80,1024-65535",
							   PGC_SIGHUP, 0,
							   check_allowed_ports, assign_allowed_ports, NULL);
	DefineCustomStringVariable("kgwebhook.ca_file",
							   "File with the certificate authorities that receivers are verified against.",
							   "Empty: those of the operating system.",
							   &kgw_settings.ca_file, "",
							   PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("kgwebhook.key_file",
							   "File with the keys that signing secrets are encrypted with.",
							   "Empty: they are kept in the clear.",
							   &kgw_settings.key_file, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_private_file, NULL, NULL);
}

static void
define_egress(void)
{
	DefineCustomStringVariable("kgwebhook.source_address",
							   "Address or interface that requests leave from.",
							   "One IPv4 and one IPv6 address may be given.  Empty: the kernel's choice.",
							   &source_address_text, "",
							   PGC_SIGHUP, 0,
							   check_source_address, assign_source_address, NULL);
	DefineCustomStringVariable("kgwebhook.proxy",
							   "CONNECT proxy that all requests go through, as scheme://host:port.",
							   "It is given host names unresolved, and has to judge where they lead.",
							   &proxy_text, "",
							   PGC_SIGHUP, 0,
							   check_proxy, assign_proxy, NULL);
	DefineCustomStringVariable("kgwebhook.proxy_credentials_file",
							   "File with user:password for the proxy.",
							   "Empty: it is sent none.",
							   &kgw_settings.proxy_credentials_file, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_private_file, NULL, NULL);
}

/*
 * Define every setting and reserve the prefix, so that a misspelt name is an
 * error and not silently a placeholder.  Called once, from _PG_init.
 */
void
kgw_guc_define(void)
{
	DefineCustomBoolVariable("kgwebhook.enabled",
							 "Whether attempts are made; events are queued either way.",
							 NULL, &kgw_settings.enabled,
							 true, PGC_SIGHUP, 0, NULL, NULL, NULL);

	/* a server that is already running can't be given a postmaster setting */
	DefineCustomIntVariable("kgwebhook.workers",
							"Workers per database.",
							NULL, &kgw_settings.workers,
							1, 1, KGW_MAX_SHARDS,
							process_shared_preload_libraries_in_progress ?
							PGC_POSTMASTER : PGC_SIGHUP,
							0, NULL, NULL, NULL);
	DefineCustomStringVariable("kgwebhook.org_id",
							   "Organization for which the role of a gateway acts.",
							   "Counts only for roles that kg_grant_gateway() was called for.",
							   &org_id_text, "",
							   PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("kgwebhook.send_when",
							 "What a commit has to have reached before its callback leaves.",
							 "replicated: also the standbys of synchronous_standby_names, whatever the writer's synchronous_commit.",
							 &kgw_settings.send_when,
							 KGW_SEND_FLUSHED, send_when_values, PGC_SIGHUP, 0, NULL, NULL, NULL);
	define_limits();
	define_retries();
	define_ssrf_filter();
	define_egress();
	define_log();
	MarkGUCPrefixReserved("kgwebhook");
}
