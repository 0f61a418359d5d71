/*-------------------------------------------------------------------------
 *
 * secrets.h
 *	  The signing secrets of organisations.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SECRETS_H
#define KGW_SECRETS_H

#include "pure/keyring.h"

/* Bytes of an organisation's identifier, if it is to have a secret. */
#define KGW_ORG_ID_MAX 255

extern void kgw_secrets_read(const char *org_id, KgwKeyring *keyring);
extern const KgwKeyring *kgw_secrets_known(const char *org_id);
extern const KgwKeyring *kgw_secrets_load(const char *org_id);
extern void kgw_secrets_forget(void);
extern bool kgw_secrets_unreadable(void);
extern bool kgw_secrets_retired(void);
extern void kgw_secrets_complain(const ErrorData *error);

#endif							/* KGW_SECRETS_H */
