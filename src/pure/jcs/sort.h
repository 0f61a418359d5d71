/*-------------------------------------------------------------------------
 *
 * sort.h
 *	  Order of members, duplicates, the final pass.
 *
 * src/pure/jcs/sort.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_JCS_SORT_H
#define KGW_PURE_JCS_SORT_H

#include "pure/jcs/workspace.h"

/* Orders the members of the innermost object, and refuses duplicates. */
extern KgwJcsStatus kgw_jcs_sort(KgwJcs *c);

/* Writes the draft in order to the length bytes that end before "end". */
extern void kgw_jcs_sort_emit(const KgwJcs *c, char *end);

#endif							/* KGW_PURE_JCS_SORT_H */
