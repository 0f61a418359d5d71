/*-------------------------------------------------------------------------
 *
 * workspace.h
 *	  What the tests of the canonicalizer share: one workspace, and short
 *	  ways to run it.
 *
 * Inputs are handed over in a buffer of exactly their size, so that the
 * sanitizers see any byte read beyond it.
 *
 * test/unit/workspace.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_WORKSPACE_H
#define KGW_WORKSPACE_H

#include "pure/jcs/jcs.h"

#include <stdlib.h>
#include <string.h>

static KgwJcs *workspace;

static inline KgwJcsStatus
run(const char *json, size_t len, const KgwMembers *members)
{
	char	   *exact = malloc(len);
	KgwJcsStatus status;

	memcpy(exact, json, len);
	status = kgw_jcs_run(workspace, exact, len, members);
	free(exact);
	return status;
}

static inline KgwJcsStatus
run_string(const char *json, const KgwMembers *members)
{
	return run(json, strlen(json), members);
}

/* The canonical text of a string, or the problem with it. */
static inline const char *
canonical(const char *json, const KgwMembers *members)
{
	size_t		len;

	if (run_string(json, members) != KGW_CANONICAL_OK)
		return kgw_jcs_problem(workspace);
	return kgw_jcs_text(workspace, &len);
}

/* A JSON string of len bytes, quotes included. */
static inline char *
long_string(size_t len)
{
	char	   *json = malloc(len);

	memset(json, 'x', len);
	json[0] = json[len - 1] = '"';
	return json;
}

#endif							/* KGW_WORKSPACE_H */
