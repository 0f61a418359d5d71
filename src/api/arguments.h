/*-------------------------------------------------------------------------
 *
 * arguments.h
 *	  Arguments that several SQL-callable functions take.
 *
 * src/api/arguments.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_API_ARGUMENTS_H
#define KGW_API_ARGUMENTS_H

#include "fmgr.h"

#include "pure/url.h"

extern text *kgw_arguments_text(FunctionCallInfo fcinfo, int n, const char *name);
extern text *kgw_arguments_org_id(FunctionCallInfo fcinfo, int n);
extern const char *kgw_arguments_url(FunctionCallInfo fcinfo, int n, KgwUrl *parsed);

#endif							/* KGW_API_ARGUMENTS_H */
