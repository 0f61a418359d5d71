/*-------------------------------------------------------------------------
 *
 * secret_cache.h
 *	  The signing secrets of organizations.
 *
 * src/secrets/secret_cache.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SECRETS_SECRET_CACHE_H
#define KGW_SECRETS_SECRET_CACHE_H

#include "pure/keyring.h"
#include "pure/limits.h"

/* Whose secret: an organization's, or a subscription's, which may have one of its own. */
typedef struct KgwSecretHolder
{
	int64		subscription_id;	/* 0: the organization itself */
	char		org_id[KGW_ORG_ID_MAX + 1]; /* filled up with zeros: it is a hash key */
} KgwSecretHolder;

/* The holder of these names; the organization's has to fit. */
static inline KgwSecretHolder
kgw_secret_cache_holder(const char *org_id, int64 subscription_id)
{
	KgwSecretHolder holder;

	memset(&holder, 0, sizeof(holder));
	holder.subscription_id = subscription_id;
	strlcpy(holder.org_id, org_id, sizeof(holder.org_id));
	return holder;
}

extern void kgw_secret_cache_read(const char *org_id, int64 subscription_id, bool bodies, KgwKeyring *keyring);
extern const KgwKeyring *kgw_secret_cache_known(const char *org_id, int64 subscription_id);
extern const KgwKeyring *kgw_secret_cache_load(const char *org_id, int64 subscription_id);
extern void kgw_secret_cache_forget(void);
extern bool kgw_secret_cache_retired(void);

#endif							/* KGW_SECRETS_SECRET_CACHE_H */
