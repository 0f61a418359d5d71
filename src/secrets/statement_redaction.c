/*-------------------------------------------------------------------------
 *
 * statement_redaction.c
 *	  Handling a secret without a word of it in log or activity.
 *
 * A secret that is passed in as a literal or a parameter is in the hands of
 * everything that shows statements.  From the moment that we are called:
 *
 * - an error's STATEMENT line and pg_stat_activity show a substitute, also after
 *   the statement has ended;
 * - an error has no context: that of a portal may quote its parameters
 *   (log_parameter_max_length_on_error), that of PL/pgSQL the statement;
 * - neither auto_explain nor debug_print_plan, which anyone may set, shows the queries
 *   inside, with their parameters.
 *
 * What was written before the call (log_statement) or will be by a copy that we
 * can't reach (log_min_duration_statement) can only be told of:
 * kgw_statement_redaction_recorder().
 *
 * An error inside needs no cleaning up: the PG_TRY that catches it and the
 * abort of the transaction restore all of it.
 *
 * src/secrets/statement_redaction.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"

#include "secrets/statement_redaction.h"

/* A setting of a module that may not be there. */
static const char *
setting(const char *name)
{
	const char *value = GetConfigOption(name, true, false);

	return value != NULL ? value : "";
}

/* Turn a setting off until kgw_statement_redaction_end(), if it is on. */
static void
turn_off(const char *name)
{
	if (strcmp(setting(name), "on") == 0)
		(void) set_config_option(name, "off", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/*
 * From here to kgw_statement_redaction_end() nothing is told of what happens.  With a
 * statement, which has to be a constant, that is what is shown instead of the
 * current one.
 */
void
kgw_statement_redaction_begin(KgwDiscretion *discretion, const char *statement)
{
	discretion->context = error_context_stack;
	error_context_stack = NULL;
	discretion->guc_level = NewGUCNestLevel();
	turn_off("auto_explain.log_nested_statements");
	turn_off("debug_print_plan");
	if (statement == NULL)
		return;
	debug_query_string = statement;
	pgstat_report_activity(STATE_RUNNING, statement);
}

void
kgw_statement_redaction_end(KgwDiscretion *discretion)
{
	AtEOXact_GUC(false, discretion->guc_level);
	error_context_stack = discretion->context;
}

/*
 * The setting by which the current statement has been or will be put into the
 * server's log as it stands, or NULL.
 */
const char *
kgw_statement_redaction_recorder(void)
{
	const char *duration;

	if (log_statement == LOGSTMT_ALL)
		return "log_statement";
	if (log_min_duration_statement >= 0)
		return "log_min_duration_statement";
	if (log_min_duration_sample >= 0 && log_statement_sample_rate > 0)
		return "log_min_duration_sample";
	if (xact_is_sampled)
		return "log_transaction_sample_rate";
	duration = setting("auto_explain.log_min_duration");
	if (duration[0] != '\0' && duration[0] != '-')
		return "auto_explain.log_min_duration";
	return NULL;
}
