/*-------------------------------------------------------------------------
 *
 * undecryptable.h
 *	  What a worker does with what it cannot decrypt.
 *
 * src/secrets/undecryptable.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SECRETS_UNDECRYPTABLE_H
#define KGW_SECRETS_UNDECRYPTABLE_H

#include "secrets/encryption.h"

extern text *kgw_undecryptable_open(text *org_id, text *kept, bool encrypted, const KgwSealedName *name);
extern bool kgw_undecryptable_note(ErrorData *error);
extern void kgw_undecryptable_complain(const ErrorData *error);
extern bool kgw_undecryptable_met(void);
extern void kgw_undecryptable_forget(void);

#endif							/* KGW_SECRETS_UNDECRYPTABLE_H */
