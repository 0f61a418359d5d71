/*-------------------------------------------------------------------------
 *
 * schedule.c
 *	  kg_schedule_maintenance() and kg_unschedule_maintenance(): our jobs in
 *	  pg_cron.
 *
 * pg_cron keeps its jobs in one database of the server (cron.database_name) and
 * runs each of them in the database that it names, as the role that made it.  So
 * jobs are the caller's, and those for us are made by an errand where pg_cron
 * lives somewhere else.  Their names say for which database they are; pg_cron
 * lets a role have one job of a name, so making them again changes nothing but
 * what is not as it should be.
 *
 * None of this is needed for deliveries, nor for retention: the worker drops
 * old days by itself.
 *
 * src/processes/schedule.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "services/errand.h"

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
	{"sweep", "17 * * * *", "SELECT kgwebhook.sweep()"},
};

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
			 errhint("Install the package postgresql-%d-cron, add pg_cron to shared_preload_libraries, "
					 "name a database in cron.database_name, restart, and run CREATE EXTENSION pg_cron in that database.",
					 PG_VERSION_NUM / 10000)));
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

/* Run a statement in this database; false when there is no pg_cron. */
static bool
run_here(const char *statement)
{
	if (!OidIsValid(get_extension_oid("pg_cron", true)))
		return false;
	SPI_connect();
	(void) SPI_execute(statement, false, 0);
	SPI_finish();
	return true;
}

/* Run a statement where pg_cron lives. */
static void
tell_cron(const char *database, bool here, const char *statement)
{
	if (here ? !run_here(statement) :
		!kgw_errand_run(database, statement, ERRCODE_INVALID_SCHEMA_NAME))
		complain_of_absence("extension \"pg_cron\" does not exist",
							psprintf("It should be in database \"%s\", says cron.database_name.",
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
		appendStringInfo(&statement, "%s cron.%s(%s, %s, %s%s%s)",
						 i == 0 ? "SELECT" : ",",
						 here ? "schedule" : "schedule_in_database",
						 quote_literal_cstr(job_name(&jobs[i], database)),
						 quote_literal_cstr(jobs[i].schedule),
						 quote_literal_cstr(job_command(&jobs[i], fcinfo)),
						 here ? "" : ", ",
						 here ? "" : quote_literal_cstr(database));
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
