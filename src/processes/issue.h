/*-------------------------------------------------------------------------
 *
 * issue.h
 *	  Giving an organization a signing secret.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_ISSUE_H
#define KGW_ISSUE_H

extern text *kgw_secret_make(void);
extern text *kgw_secret_as_kept(text *org_id, text *secret);
extern void kgw_secret_warn_of_log(void);

#endif							/* KGW_ISSUE_H */
