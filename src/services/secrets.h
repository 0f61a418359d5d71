/*-------------------------------------------------------------------------
 *
 * secrets.h
 *	  The signing secrets of organisations.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SECRETS_H
#define KGW_SECRETS_H

#include "pure/signature.h"

/* Bytes of an organisation's identifier, if it is to have a secret. */
#define KGW_ORG_ID_MAX 255

extern KgwSigner *kgw_secrets_read(const char *org_id);
extern bool kgw_secrets_known(const char *org_id, KgwSigner **signer);
extern KgwSigner *kgw_secrets_load(const char *org_id);
extern void kgw_secrets_forget(void);

#endif							/* KGW_SECRETS_H */
