/*-------------------------------------------------------------------------
 *
 * caller.h
 *	  Who has called a function that runs with the owner's rights.
 *
 * src/api/caller.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_API_CALLER_H
#define KGW_API_CALLER_H

extern Oid	kgw_caller_role(void);
extern void kgw_caller_check_organization(text *org_id);
extern text *kgw_caller_organization(void);

#endif							/* KGW_API_CALLER_H */
