/*-------------------------------------------------------------------------
 *
 * arguments.h
 *	  Arguments that several SQL-callable functions take.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_ARGUMENTS_H
#define KGW_ARGUMENTS_H

#include "fmgr.h"

#include "pure/url.h"

extern text *kgw_argument_text(FunctionCallInfo fcinfo, int n, const char *name);
extern text *kgw_argument_org_id(FunctionCallInfo fcinfo, int n);
extern const char *kgw_argument_url(FunctionCallInfo fcinfo, int n, KgwUrl *parsed);

#endif							/* KGW_ARGUMENTS_H */
