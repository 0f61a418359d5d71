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

#include "nodes/pg_list.h"

#include "pure/keyring.h"

extern void kgw_secret_cache_read(const char *org_id, int64 subscription_id, KgwKeyring *keyring);
extern const KgwKeyring *kgw_secret_cache_known(const char *org_id, int64 subscription_id);
extern const KgwKeyring *kgw_secret_cache_load(const char *org_id, int64 subscription_id);
extern List *kgw_secret_cache_can_sign(const List *org_ids);
extern void kgw_secret_cache_forget(void);
extern bool kgw_secret_cache_unreadable(void);
extern bool kgw_secret_cache_retired(void);
extern void kgw_secret_cache_complain(const ErrorData *error);

#endif							/* KGW_SECRETS_SECRET_CACHE_H */
