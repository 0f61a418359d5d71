/*-------------------------------------------------------------------------
 *
 * encryption.h
 *	  Secrets as they are kept in the table when kgwebhook.key_file is set.
 *
 * src/secrets/encryption.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SECRETS_ENCRYPTION_H
#define KGW_SECRETS_ENCRYPTION_H

extern text *kgw_encryption_seal(text *org_id, text *secret);
extern text *kgw_encryption_open(text *org_id, text *kept, bool encrypted, bool *by_first);

#endif							/* KGW_SECRETS_ENCRYPTION_H */
