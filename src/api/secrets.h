/*-------------------------------------------------------------------------
 *
 * secrets.h
 *	  Giving an organization a signing secret.
 *
 * src/api/secrets.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_API_SECRETS_H
#define KGW_API_SECRETS_H

extern text *kgw_secrets_make(void);
extern text *kgw_secrets_as_kept(text *org_id, text *secret);
extern void kgw_secrets_warn_of_log(void);

#endif							/* KGW_API_SECRETS_H */
