/*-------------------------------------------------------------------------
 *
 * secrets.h
 *	  Giving an organization, or one of its subscriptions, a signing secret.
 *
 * src/api/keys/secrets.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_API_KEYS_SECRETS_H
#define KGW_API_KEYS_SECRETS_H

#include "fmgr.h"

/* Whose secret. */
typedef struct KgwSecretOf
{
	text	   *org_id;
	int64		subscription_id;	/* 0: the organization's */
} KgwSecretOf;

extern void kgw_secrets_find(FunctionCallInfo fcinfo, bool of_subscription, KgwSecretOf *of);
extern char *kgw_secrets_holder(const KgwSecretOf *of);
extern text *kgw_secrets_make(void);
extern text *kgw_secrets_as_kept(text *org_id, text *secret);
extern void kgw_secrets_warn_of_log(const char *what, const char *remedy);

#endif							/* KGW_API_KEYS_SECRETS_H */
