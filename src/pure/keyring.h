/*-------------------------------------------------------------------------
 *
 * keyring.h
 *	  What signs for an organization at a given second.
 *
 * Usually that is one secret.  While a rotation runs there are two, and time
 * alone moves it on:
 *
 *	  until activates_at	the old one signs the body, both sign the header
 *	  until retires_at		the new one signs the body, both sign the header
 *	  from then on			the new one signs both
 *
 * The second is that of the attempt's stamp, so anyone who sees a request can tell
 * which phase it was made in.
 *
 * src/pure/keyring.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_KEYRING_H
#define KGW_PURE_KEYRING_H

#include "pure/signature.h"

/* Signatures that a header can have. */
#define KGW_KEYRING_MAX 2

typedef struct KgwKeyring
{
	const char *fault;			/* why there is nothing to sign with, or NULL */
	KgwSigner  *current;		/* set unless there is a fault */
	KgwSigner  *next;			/* what takes its place, or NULL */
	int64_t		activates_at;	/* Unix second from which next signs the body */
	int64_t		retires_at;		/* Unix second from which current signs nothing */
} KgwKeyring;

/*
 * The signers of a request that is stamped "now", in Unix seconds.  The first
 * signs the body, all of them sign the header.  Returns how many: none when
 * there is a fault.  They stay the keyring's.
 */
extern int	kgw_keyring_signers(const KgwKeyring *keyring, int64_t now,
								KgwSigner *signers[KGW_KEYRING_MAX]);

/* Whether the old one has retired by then and only the next one is left. */
extern bool kgw_keyring_retired(const KgwKeyring *keyring, int64_t now);

/* Frees the signers and wipes their keys; the keyring is empty afterwards. */
extern void kgw_keyring_clear(KgwKeyring *keyring);

#endif							/* KGW_PURE_KEYRING_H */
