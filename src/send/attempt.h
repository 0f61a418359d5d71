/*-------------------------------------------------------------------------
 *
 * attempt.h
 *	  From a row of the queue to a signed request, and from the answer to a
 *	  outcome.
 *
 * src/send/attempt.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SEND_ATTEMPT_H
#define KGW_SEND_ATTEMPT_H

#include "pure/circuit_breaker.h"
#include "pure/keyring.h"
#include "pure/outcome.h"
#include "queue/delivery.h"
#include "send/challenge.h"
#include "send/http_client.h"

/*
 * How long a header line of ours can get: two signatures by secrets and two by keys.  Longer
 * event names are cut.
 */
#define KGW_HEADER_SIZE 320

/*
 * An attempt from its preparation to its settling.  One malloc'd piece each
 * for room, error and response_body, or NULL; freed by kgw_attempt_free().  All
 * zero before its first use.
 */
typedef struct KgwAttempt
{
	char	   *room;			/* where body is; kept for the next attempt */
	size_t		room_size;
	KgwCertificate *certificate;	/* to be shown to the receiver; held, or NULL */
	KgwHeaders *extra;			/* headers that the receiver wants besides; held, or NULL */

	int			number;			/* 1, 2, ... */
	TimestampTz started_at;
	char	   *body;			/* as sent; NULL when it could not be made */
	size_t		body_len;
	char		headers[8][KGW_HEADER_SIZE];	/* the last three may be empty */

	KgwOutcome	outcome;
	bool		give_up;		/* trying again is of no use */
	bool		no_secret;		/* waits until there is one to sign with */
	bool		dropped;		/* its connection, kept from before, was dead already */
	bool		not_made;		/* no attempt, but the end of the delivery */
	bool		withheld;		/* and that because its subscription takes none */
	int64		retry_after;	/* seconds the receiver asked for, or -1 */
	int			response_status;	/* 0 = none */
	char	   *response_body;
	size_t		response_len;
	char	   *error;
	double		duration_ms;
	bool		reached;		/* the request may have been sent */
	char		challenge[KGW_CHALLENGE_SIZE];	/* what the answer has to return, or "" */
} KgwAttempt;

extern bool kgw_attempt_prepare(KgwAttempt *attempt, const KgwDelivery *row,
								const KgwKeyring *keyring);
extern bool kgw_attempt_prepare_as(KgwAttempt *attempt, const KgwDelivery *row, KgwSigner **signers,
								   int count, const KgwKeyring *keys, int64 now,
								   const char *unsigned_why);
extern void kgw_attempt_request(const KgwAttempt *attempt, const KgwDelivery *row, KgwRequest *request);
extern void kgw_attempt_conclude(KgwAttempt *attempt, const KgwResponse *response);
extern void kgw_attempt_abandon(KgwAttempt *attempt, const char *error);
extern void kgw_attempt_supersede(KgwAttempt *attempt, const KgwDelivery *row);
extern void kgw_attempt_outdated(KgwAttempt *attempt, const KgwDelivery *row);
extern void kgw_attempt_overtaken(KgwAttempt *attempt, const KgwDelivery *row);
extern void kgw_attempt_expire(KgwAttempt *attempt, const KgwDelivery *row);
extern void kgw_attempt_withhold(KgwAttempt *attempt, const KgwDelivery *row, const char *reason);
extern KgwSign kgw_attempt_sign(const KgwAttempt *attempt);
extern void kgw_attempt_clear(KgwAttempt *attempt);
extern void kgw_attempt_free(KgwAttempt *attempt);

#endif							/* KGW_SEND_ATTEMPT_H */
