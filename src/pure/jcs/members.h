/*-------------------------------------------------------------------------
 *
 * members.h
 *	  The changes to members of the top level.
 *
 * src/pure/jcs/members.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_JCS_MEMBERS_H
#define KGW_PURE_JCS_MEMBERS_H

#include "pure/jcs/workspace.h"

/* Ends the innermost object's last member, whose value is complete. */
extern KgwJcsStatus kgw_jcs_members_end_member(KgwJcs *c);

/* Before the top-level object closes: adds "timestamp" if it is missing. */
extern KgwJcsStatus kgw_jcs_members_end_top(KgwJcs *c);

#endif							/* KGW_PURE_JCS_MEMBERS_H */
