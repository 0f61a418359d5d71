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
 * An organization may have a signing key besides, whose signatures need no shared
 * secret.  Its rotation goes by the same phases, at times of its own, and it signs the
 * header only.
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

#include "pure/ed25519/signing_key.h"
#include "pure/request_headers.h"
#include "pure/signature.h"

/* Signatures that a header can have. */
#define KGW_KEYRING_MAX 2

/*
 * What a receiver is shown that demands a client certificate.  It is shared: each that keeps it
 * holds it, and the last one wipes it.
 */
typedef struct KgwCertificate
{
	int			holders;
	int64_t		subscription_id;	/* 0: the objects' own URLs */
	size_t		certificate_len;
	size_t		key_len;
	char	   *certificate;	/* PEM, with a line before it that no other endpoint's has */
	char	   *key;			/* PEM */
} KgwCertificate;

/* What keeps one endpoint's requests from being made, and no other's. */
typedef struct KgwEndpointFault
{
	int64_t		subscription_id;	/* 0: the objects' own URLs */
	const char *fault;			/* a constant */
} KgwEndpointFault;

typedef struct KgwKeyring
{
	const char *fault;			/* why there is nothing to sign with, or NULL */
	KgwSigner  *current;		/* set unless there is a fault */
	KgwSigner  *next;			/* what takes its place, or NULL */
	int64_t		activates_at;	/* Unix second from which next signs the body */
	int64_t		retires_at;		/* Unix second from which current signs nothing */
	KgwSigningKey *key;			/* or NULL: there is none */
	KgwSigningKey *next_key;	/* what takes its place, or NULL */
	int64_t		key_activates_at;	/* Unix second from which next_key comes first */
	int64_t		key_retires_at; /* Unix second from which key signs nothing */
	int64_t    *http_signed;	/* subscriptions whose requests are signed by RFC 9421 as well, and 0
								 * for own URLs; malloc'd */
	int			http_signed_count;
	KgwCertificate **certificates;	/* malloc'd, as are they */
	int			certificate_count;
	KgwHeaders **headers;		/* malloc'd, held */
	int			headers_count;
	KgwEndpointFault *endpoint_faults;	/* malloc'd */
	int			endpoint_fault_count;
} KgwKeyring;

/*
 * Why no request can be made, of that subscription, or, by 0, to an object's own URL: the keyring's
 * fault, or the endpoint's; NULL: none.
 */
extern const char *kgw_keyring_fault(const KgwKeyring *keyring, int64_t subscription_id);

/* Note an endpoint's fault, a constant; the first one counts.  False when there is no memory. */
extern bool kgw_keyring_fault_add(KgwKeyring *keyring, int64_t subscription_id, const char *fault);

/*
 * The signers of a request that is stamped "now", in Unix seconds.  The first
 * signs the body, all of them sign the header.  Returns how many: none when
 * there is a fault.  They stay the keyring's.
 */
extern int	kgw_keyring_signers(const KgwKeyring *keyring, int64_t now,
								KgwSigner *signers[KGW_KEYRING_MAX]);

/*
 * The same of signing keys: all of them sign the header, and where one is to be named
 * it is the first.  None when the organization has no key.
 */
extern int	kgw_keyring_keys(const KgwKeyring *keyring, int64_t now,
							 KgwSigningKey *keys[KGW_KEYRING_MAX]);

/* Whether the old secret has retired by then and only the next one is left. */
extern bool kgw_keyring_retired(const KgwKeyring *keyring, int64_t now);

/* The same of the old signing key. */
extern bool kgw_keyring_key_retired(const KgwKeyring *keyring, int64_t now);

/*
 * Whether a request is to be signed by RFC 9421 as well: of that subscription, or, by 0, to an
 * object's own URL.
 */
extern bool kgw_keyring_signs_http(const KgwKeyring *keyring, int64_t subscription_id);

/* A copy of these, held by the caller; NULL when there is no memory. */
extern KgwCertificate *kgw_keyring_certificate_new(int64_t subscription_id, const char *certificate,
												   size_t certificate_len, const char *key,
												   size_t key_len);

/* Give a certificate to the keyring; NULL is none.  False when there is no memory. */
extern bool kgw_keyring_certificate_add(KgwKeyring *keyring, KgwCertificate *certificate);

/*
 * What a request shows, of that subscription, or, by 0, to an object's own URL; NULL is
 * none.  The caller holds it, too.
 */
extern KgwCertificate *kgw_keyring_certificate_hold(const KgwKeyring *keyring, int64_t subscription_id);

/* Hold a certificate for someone else as well, or let go of it; NULL is allowed. */
extern KgwCertificate *kgw_keyring_certificate_share(KgwCertificate *certificate);
extern void kgw_keyring_certificate_release(KgwCertificate *certificate);

/* Give an endpoint's headers to the keyring; NULL is none.  False when there is no memory. */
extern bool kgw_keyring_headers_add(KgwKeyring *keyring, KgwHeaders *headers);

/*
 * The headers that a request of that subscription has besides ours, if it goes to where
 * they are for; NULL is none.  The caller holds them, too.
 */
extern KgwHeaders *kgw_keyring_headers_hold(const KgwKeyring *keyring, int64_t subscription_id,
											const char *destination);

/* Frees signers and signing keys and wipes what they hold; the keyring is empty afterwards. */
extern void kgw_keyring_clear(KgwKeyring *keyring);

#endif							/* KGW_PURE_KEYRING_H */
