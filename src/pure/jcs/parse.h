/*-------------------------------------------------------------------------
 *
 * parse.h
 *	  The grammar.
 *
 * src/pure/jcs/parse.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_JCS_PARSE_H
#define KGW_PURE_JCS_PARSE_H

#include "pure/jcs/workspace.h"

/* Reads the input into the draft. */
extern KgwJcsStatus kgw_jcs_parse(KgwJcs *c);

#endif							/* KGW_PURE_JCS_PARSE_H */
