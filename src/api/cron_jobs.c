/*-------------------------------------------------------------------------
 *
 * cron_jobs.c
 *	  kg_schedule_maintenance() and kg_unschedule_maintenance(): our jobs in
 *	  pg_cron.
 *
 * pg_cron keeps its jobs in one database of the server (cron.database_name) and
 * runs each of them in the database that it names, as the role that made it.  So
 * jobs are the caller's, and those for us are made from another database (pg/run_in_database.c) where pg_cron
 * lives somewhere else.  Their names say for which database they are; pg_cron
 * lets a role have one job of a name, so making them again changes nothing but
 * what is not as it should be.
 *
 * Where pg_cron was loaded but never created, anyone who may create a schema can
 * have one of the name cron, and functions in it that would run with the rights of
 * the role that calls ours.  So what is called has to be pg_cron's own.
 *
 * None of this is needed for deliveries, nor for retention: the worker drops
 * old days by itself.
 *
 * src/api/cron_jobs.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "pg/compat.h"
#include "pg/run_in_database.h"

PG_FUNCTION_INFO_V1(kg_schedule_maintenance);
PG_FUNCTION_INFO_V1(kg_unschedule_maintenance);

typedef struct KgwCronJob
{
	const char *name;
	const char *schedule;		/* by UTC, as pg_cron has it */
	const char *command;		/* %s: the schema of our functions */
} KgwCronJob;

/* Soon after midnight, when whole days can be dropped; each minute; hourly. */
static const KgwCronJob jobs[] = {
	{"purge", "5 0 * * *", "SELECT %s.kg_purge()"},
	{"expire", "* * * * *", "SELECT %s.kg_expire_intents(NULL)"},
	{"report", "17 * * * *", "SELECT kgwebhook.report_unacknowledged()"},
};

/* NULL when what our statements name in schema cron belongs to pg_cron. */
static const char precondition[] =
"WITH member AS ("
"  SELECT d.classid, d.objid FROM pg_catalog.pg_depend d"
"    JOIN pg_catalog.pg_extension e ON e.oid OPERATOR(pg_catalog.=) d.refobjid"
"   WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass"
"     AND d.deptype OPERATOR(pg_catalog.=) 'e' AND e.extname OPERATOR(pg_catalog.=) 'pg_cron'),"
" named AS ("
"  SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass AS classid, p.oid AS objid, p.pronamespace AS schema"
"    FROM pg_catalog.pg_proc p"
"   WHERE p.proname OPERATOR(pg_catalog.=) ANY ('{schedule,schedule_in_database,unschedule}'::pg_catalog.name[])"
"  UNION ALL"
"  SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, c.relnamespace"
"    FROM pg_catalog.pg_class c WHERE c.relname OPERATOR(pg_catalog.=) 'job')"
" SELECT CASE WHEN NOT EXISTS (SELECT FROM member) THEN 'extension \"pg_cron\" does not exist'"
"             WHEN EXISTS (SELECT FROM named n JOIN pg_catalog.pg_namespace s"
"                              ON s.oid OPERATOR(pg_catalog.=) n.schema AND s.nspname OPERATOR(pg_catalog.=) 'cron'"
"                           WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid OPERATOR(pg_catalog.=) n.classid"
"                                                AND m.objid OPERATOR(pg_catalog.=) n.objid))"
"             THEN 'schema \"cron\" has what does not belong to pg_cron' END";

static char *
job_name(const KgwCronJob *job, const char *database)
{
	return psprintf("kgwebhook %s of %s", job->name, database);
}

static void
complain_of_absence(const char *what, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("%s", what),
			 errdetail("%s", detail),
			 errhint("Install the package postgresql-%d-cron, add pg_cron to \"shared_preload_libraries\", "
					 "name a database in \"cron.database_name\", restart, and run CREATE EXTENSION pg_cron in that database.",
					 KGW_COMPAT_MAJOR_VERSION)));
}

/* The database in which pg_cron lives. */
static const char *
cron_database(void)
{
	const char *database = GetConfigOption("cron.database_name", true, false);

	if (database == NULL)
		complain_of_absence("pg_cron is not loaded",
							"There is no setting cron.database_name.");
	return database;
}

/* Run a statement where pg_cron lives. */
static void
tell_cron(const char *database, bool here, const char *statement)
{
	char	   *objection = here ? kgw_run_in_database_run_here(precondition, statement) :
		kgw_run_in_database_run(database, precondition, statement);

	if (objection != NULL)
		complain_of_absence(objection,
							psprintf("pg_cron should be in database \"%s\", says cron.database_name.",
									 database));
}

/* What a job does: its command with our functions' schema. */
static char *
job_command(const KgwCronJob *job, FunctionCallInfo fcinfo)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);

	return strstr(job->command, "%s") == NULL ? pstrdup(job->command) :
		psprintf(job->command, quote_identifier(get_namespace_name(schema)));
}

/*
 * kg_schedule_maintenance()
 */
Datum
kg_schedule_maintenance(PG_FUNCTION_ARGS)
{
	const char *database = get_database_name(MyDatabaseId);
	const char *where = cron_database();
	bool		here = strcmp(where, database) == 0;
	StringInfoData statement;

	initStringInfo(&statement);
	for (size_t i = 0; i < lengthof(jobs); i++)
		appendStringInfo(&statement, "%s cron.%s(%s::pg_catalog.text, %s::pg_catalog.text, %s::pg_catalog.text%s%s%s)",
						 i == 0 ? "SELECT" : ",",
						 here ? "schedule" : "schedule_in_database",
						 quote_literal_cstr(job_name(&jobs[i], database)),
						 quote_literal_cstr(jobs[i].schedule),
						 quote_literal_cstr(job_command(&jobs[i], fcinfo)),
						 here ? "" : ", ",
						 here ? "" : quote_literal_cstr(database),
						 here ? "" : "::pg_catalog.text");
	tell_cron(where, here, statement.data);
	PG_RETURN_VOID();
}

/*
 * kg_unschedule_maintenance()
 */
Datum
kg_unschedule_maintenance(PG_FUNCTION_ARGS)
{
	const char *database = get_database_name(MyDatabaseId);
	const char *where = cron_database();
	StringInfoData statement;

	initStringInfo(&statement);
	appendStringInfo(&statement,
					 "SELECT cron.unschedule(jobid) FROM cron.job"
					 " WHERE username OPERATOR(pg_catalog.=) CURRENT_USER::pg_catalog.text"
					 " AND jobname OPERATOR(pg_catalog.=) ANY (ARRAY[");
	for (size_t i = 0; i < lengthof(jobs); i++)
		appendStringInfo(&statement, "%s%s::pg_catalog.text", i == 0 ? "" : ", ",
						 quote_literal_cstr(job_name(&jobs[i], database)));
	appendStringInfoString(&statement, "])");
	tell_cron(where, strcmp(where, database) == 0, statement.data);
	PG_RETURN_VOID();
}
