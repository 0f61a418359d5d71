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

/* What is kept encrypted. */
typedef enum KgwSealedKind
{
	KGW_SEALED_SECRET,
	KGW_SEALED_SIGNING_KEY,
	KGW_SEALED_CERTIFICATE,
	KGW_SEALED_HEADERS
} KgwSealedKind;

/* What an error calls it. */
typedef struct KgwSealedName
{
	KgwSealedKind kind;
	int64		subscription_id;	/* 0: the organization's, or its objects' own URLs' */
	const char *headers;		/* names of these, or NULL */
} KgwSealedName;

extern text *kgw_encryption_seal(text *org_id, text *secret);
extern text *kgw_encryption_open(text *org_id, text *kept, bool encrypted, bool *by_first, const KgwSealedName *name);

#endif							/* KGW_SECRETS_ENCRYPTION_H */
