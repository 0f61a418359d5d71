/*-------------------------------------------------------------------------
 *
 * jit_hook.c
 *	  Queries over our views are not compiled.
 *
 * PostgreSQL compiles a query (jit) when its estimated cost is high, and for our
 * views it is: a month of the log has some thirty partitions, a view asks several
 * times for them, and a view that keeps merchants apart is planned as if all
 * of it were wanted.  Someone who asks for the latest twenty then waits ten seconds for
 * the compilation of hundreds of expressions that are evaluated twenty times.  A
 * function can have a setting of its own, a view cannot.  So the plan's flag is taken
 * back, here, where the planner has set it; plans of other queries are only looked at
 * when they are to be compiled.
 *
 * Without preloading there is no hook, and such a query is slow but right.
 *
 * src/worker/jit_hook.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "jit/jit.h"
#include "optimizer/planner.h"
#include "utils/lsyscache.h"

#include "pg/compat.h"
#include "worker/jit_hook.h"

static planner_hook_type previous_planner_hook;

/* Whether the plan is of a query over something of the schema kgwebhook. */
static bool
reads_ours(const PlannedStmt *plan)
{
	Oid			schema = get_namespace_oid("kgwebhook", true);
	ListCell   *lc;

	if (!OidIsValid(schema))
		return false;
	foreach(lc, plan->relationOids)
	{
		if (get_rel_namespace(lfirst_oid(lc)) == schema)
			return true;
	}
	return false;
}

static PlannedStmt *
plan_uncompiled(kgw_compat_planner_parameters)
{
	PlannedStmt *plan = previous_planner_hook ?
		previous_planner_hook(kgw_compat_planner_arguments) :
		standard_planner(kgw_compat_planner_arguments);

	if (plan->jitFlags != PGJIT_NONE && reads_ours(plan))
		plan->jitFlags = PGJIT_NONE;
	return plan;
}

/* Called from _PG_init while libraries are preloaded. */
void
kgw_jit_hook_install(void)
{
	previous_planner_hook = planner_hook;
	planner_hook = plan_uncompiled;
}
