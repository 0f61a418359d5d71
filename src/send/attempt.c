/*-------------------------------------------------------------------------
 *
 * attempt.c
 *	  From a row of the queue to a signed request, and from the answer to a
 *	  outcome (design A1).
 *
 * The same code serves the worker, kg_send_test(), kg_examine() and kg_replay(), so that
 * a test proves what it seems to.  It runs outside of any transaction and must not use SPI,
 * nor raise errors: whatever is wrong with a delivery becomes an "invalid" attempt of that one
 * delivery, and memory is malloc's, because an attempt outlives every transaction.
 *
 * Every attempt is stamped and signed again: receivers refuse what is older than
 * five minutes.  So is what a challenge asks for drawn again (challenge.c).
 *
 * src/send/attempt.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "pg/guc.h"
#include "pg/jsonb_canonical.h"
#include "pure/retry_schedule.h"
#include "send/attempt.h"
#include "send/attempt_headers.h"
#include "send/row_fault.h"

/* Room for a body that is kept from one attempt to the next, bytes. */
#define ROOM_KEPT 4096

/* Only for want of memory, so the next attempt may be more lucky. */
static const char signing_failed[] = "the payload could not be signed";

/* A malloc'd, NUL-terminated copy, or NULL when there is no memory. */
static char *
copy_bytes(const char *bytes, size_t len)
{
	char	   *copy = malloc(len + 1);

	if (copy != NULL)
	{
		memcpy(copy, bytes, len);
		copy[len] = '\0';
	}
	return copy;
}

static void
make_invalid(KgwAttempt *attempt, const char *reason)
{
	attempt->outcome = KGW_INVALID;
	attempt->give_up = true;
	attempt->error = copy_bytes(reason, strlen(reason));
}

/* Conclude an attempt that could not even be begun; there is another chance. */
void
kgw_attempt_abandon(KgwAttempt *attempt, const char *error)
{
	attempt->outcome = KGW_UNREACHABLE;
	attempt->error = copy_bytes(error, strlen(error));
}

/* False when there is no memory. */
static bool
keep_body(KgwAttempt *attempt, const char *text, size_t len)
{
	if (attempt->room_size <= len)
	{
		char	   *room = realloc(attempt->room, len + 1);

		if (room == NULL)
			return false;
		attempt->room = room;
		attempt->room_size = len + 1;
	}
	memcpy(attempt->room, text, len);
	attempt->room[len] = '\0';
	attempt->body = attempt->room;
	attempt->body_len = len;
	return true;
}

#ifdef USE_ASSERT_CHECKING
/* What was stamped is what the canonicalizer makes of the payload, if it has the memory. */
static bool
stamped_is_canonical(const KgwJcs *stamped, const KgwDelivery *row, const KgwMembers *members)
{
	KgwJcs	   *again = kgw_jcs_new();
	KgwJcsStatus status = again == NULL ? KGW_CANONICAL_NO_MEMORY :
		kgw_jcs_run(again, row->payload, row->payload_len, members);
	size_t		len;
	bool		same = status == KGW_CANONICAL_NO_MEMORY || (status == KGW_CANONICAL_OK &&
		strcmp(kgw_jcs_text(again, &len), kgw_jcs_text(stamped, &len)) == 0);

	kgw_jcs_free(again);
	return same;
}
#endif

/* The payload's canonical form, with these members. */
static KgwJcsStatus
canonical_payload(KgwJcs *canonical, const KgwDelivery *row, const KgwMembers *members)
{
	KgwJcsStatus status;

	if (row->stamp_at == 0 || members->challenge != NULL)
		return kgw_jcs_run(canonical, row->payload, row->payload_len, members);
	status = kgw_jcs_stamp(canonical, row->payload, row->payload_len, row->stamp_at, members->timestamp);
	Assert(status != KGW_CANONICAL_OK || stamped_is_canonical(canonical, row, members));
	return status;
}

/* Canonicalize, sign and seal the body.  False with the reason noted. */
static bool
make_body(KgwAttempt *attempt, const KgwDelivery *row, KgwSigner *signer, int64 now)
{
	KgwJcs *canonical = kgw_jsonb_canonical_workspace();
	KgwMembers	members = {.stamp = true, .timestamp = now, .drop_signature = true,
	.challenge = attempt->challenge[0] != '\0' ? attempt->challenge : NULL};
	char		signature[KGW_SIGNATURE_HEX_SIZE];
	const char *text;
	size_t		len;
	KgwJcsStatus result = canonical_payload(canonical, row, &members);

	if (result == KGW_CANONICAL_NO_MEMORY)
	{
		kgw_attempt_abandon(attempt, "out of memory");
		return false;
	}
	if (result != KGW_CANONICAL_OK)
	{
		make_invalid(attempt, kgw_jcs_problem(canonical));
		return false;
	}
	text = kgw_jcs_text(canonical, &len);
	if (!kgw_signature_signer_body(signer, text, len, signature))
	{
		kgw_attempt_abandon(attempt, signing_failed);
		return false;
	}
	text = kgw_jcs_seal(canonical, signature, &len);
	if (keep_body(attempt, text, len))
		return true;
	kgw_attempt_abandon(attempt, "out of memory");
	return false;
}

/* Let go of what is the endpoint's. */
static void
release_held(KgwAttempt *attempt)
{
	kgw_keyring_certificate_release(attempt->certificate);
	kgw_request_headers_release(attempt->extra);
	attempt->certificate = NULL;
	attempt->extra = NULL;
}

/* An attempt that nothing is known of yet; the headers are left as they are. */
static void
begin_attempt(KgwAttempt *attempt, const KgwDelivery *row)
{
	release_held(attempt);
	memset(&attempt->number, 0, offsetof(KgwAttempt, headers) - offsetof(KgwAttempt, number));
	memset(&attempt->outcome, 0, sizeof(*attempt) - offsetof(KgwAttempt, outcome));
	attempt->number = row->attempts + 1;
	attempt->started_at = GetCurrentTimestamp();
	attempt->retry_after = -1;
}

/*
 * Stamp an attempt with that Unix second, and have these sign it: the first one the body,
 * all of them the header, and the keyring's keys, too; its client certificate is shown, and its
 * headers are sent.  False, as of kgw_attempt_prepare(), also where there is none, for the reason
 * given.
 */
bool
kgw_attempt_prepare_as(KgwAttempt *attempt, const KgwDelivery *row, KgwSigner **signers, int count,
					   const KgwKeyring *keyring, int64 now, const char *unsigned_why)
{
	const char *fault = kgw_row_fault(row);

	begin_attempt(attempt, row);
	attempt->certificate = kgw_keyring_certificate_hold(keyring, row->subscription_id);
	attempt->extra = kgw_keyring_headers_hold(keyring, row->subscription_id, row->destination);
	if (fault != NULL)
		make_invalid(attempt, fault);
	else if (count == 0)
	{
		make_invalid(attempt, unsigned_why);
		attempt->give_up = false;
		attempt->no_secret = true;
	}
	else if (kgw_delivery_is_challenge(row) && !kgw_challenge_draw(attempt->challenge))
		kgw_attempt_abandon(attempt, "the source of random numbers failed");
	else if (make_body(attempt, row, signers[0], now))
	{
		if (kgw_attempt_headers_make(attempt, row, signers, count, keyring, now))
			return true;
		kgw_attempt_abandon(attempt, signing_failed);
	}
	return false;
}

/*
 * Stamp and sign a new attempt of the delivery.  True when it can be sent; the
 * request is then made by kgw_attempt_request().  False when the attempt is
 * over already, because the delivery is invalid.
 */
bool
kgw_attempt_prepare(KgwAttempt *attempt, const KgwDelivery *row, const KgwKeyring *keyring)
{
	int64		now = kgw_clock_unix();
	KgwSigner  *signers[KGW_KEYRING_MAX];
	const char *fault = kgw_keyring_fault(keyring, row->subscription_id);
	int			count = fault == NULL ? kgw_keyring_signers(keyring, now, signers) : 0;

	return kgw_attempt_prepare_as(attempt, row, signers, count, keyring, now, fault);
}

/* The request of a prepared attempt; it points into attempt and row. */
void
kgw_attempt_request(const KgwAttempt *attempt, const KgwDelivery *row, KgwRequest *request)
{
	request->url = row->url;
	request->destination = row->destination;
	request->body = attempt->body;
	request->body_len = attempt->body_len;
	request->fresh = false;
	request->certificate = attempt->certificate;
	request->extra = attempt->extra;
	memset(request->headers, 0, sizeof(request->headers));
	for (size_t i = 0; i < lengthof(attempt->headers) && attempt->headers[i][0] != '\0'; i++)
		request->headers[i] = attempt->headers[i];
}

static void
judge_answer(KgwAttempt *attempt, const KgwResponse *response)
{
	int			status = response->status;
	bool		taken = status >= 200 && status <= 299;
	char		error[80];

	attempt->response_status = status;
	if (taken && (attempt->challenge[0] == '\0' ||
				  kgw_challenge_is_returned(attempt->challenge, response->body, response->body_len)))
	{
		attempt->outcome = KGW_ACKNOWLEDGED;
		return;
	}
	attempt->outcome = KGW_REJECTED;
	attempt->give_up = (status == 410);
	if (status == 429 || status == 503)
		attempt->retry_after = kgw_retry_schedule_parse_after(response->retry_after,
											   strlen(response->retry_after),
											   kgw_clock_unix());
	snprintf(error, sizeof(error), "answered with status %d%s", status,
			 status / 100 == 3 ? "; redirects are not followed" :
			 taken ? ", and did not return the challenge" : "");
	attempt->error = copy_bytes(error, strlen(error));
}

/* Conclude a sent attempt from its response. */
void
kgw_attempt_conclude(KgwAttempt *attempt, const KgwResponse *response)
{
	size_t		kept;

	attempt->duration_ms = response->duration / 1000.0;
	attempt->dropped = response->dropped;
	attempt->reached = response->reached;
	switch (response->transport)
	{
		case KGW_HTTP_ANSWERED:
			judge_answer(attempt, response);
			kept = Min(response->body_len, (size_t) kgw_settings.response_body_limit);
			attempt->response_body = copy_bytes(response->body, kept);
			attempt->response_len = attempt->response_body ? kept : 0;
			return;
		case KGW_HTTP_TIMED_OUT:
			attempt->outcome = KGW_TIMED_OUT;
			break;
		case KGW_HTTP_UNREACHABLE:
			attempt->outcome = KGW_UNREACHABLE;
			break;
		case KGW_HTTP_BLOCKED:
			attempt->outcome = KGW_BLOCKED;
			/* how long a name took to resolve is what a scanner wants to know */
			attempt->duration_ms = 0;
			break;
	}
	attempt->error = copy_bytes(response->error, strlen(response->error));
}

static void
conclude_superseded(KgwAttempt *attempt, const KgwDelivery *row, const char *reason)
{
	begin_attempt(attempt, row);
	attempt->outcome = KGW_SUPERSEDED;
	attempt->error = copy_bytes(reason, strlen(reason));
}

/* Instead of an attempt: a challenge that its subscription does not wait for any more. */
void
kgw_attempt_outdated(KgwAttempt *attempt, const KgwDelivery *row)
{
	conclude_superseded(attempt, row, "its subscription does not wait for this challenge any more");
}

/* Instead of an attempt: newer transitions of the object have waited enough. */
void
kgw_attempt_supersede(KgwAttempt *attempt, const KgwDelivery *row)
{
	conclude_superseded(attempt, row,
						"newer transitions of the object have waited for kgwebhook.max_hold");
}

/* Instead of an attempt: while it was out of its object's line, a newer one went past it. */
void
kgw_attempt_overtaken(KgwAttempt *attempt, const KgwDelivery *row)
{
	conclude_superseded(attempt, row,
						"a newer status of the object was acknowledged before this one was sent");
}

/* Instead of an attempt: the destination has been backing off for the whole schedule. */
void
kgw_attempt_expire(KgwAttempt *attempt, const KgwDelivery *row)
{
	static const char reason[] = "not tried again: the destination was unavailable for the whole"
		" span of kgwebhook.retry_schedule";

	begin_attempt(attempt, row);
	attempt->outcome = KGW_UNREACHABLE;
	attempt->not_made = true;
	attempt->give_up = true;
	attempt->error = copy_bytes(reason, strlen(reason));
}

/* Instead of an attempt: its subscription takes no deliveries, for this reason. */
void
kgw_attempt_withhold(KgwAttempt *attempt, const KgwDelivery *row, const char *reason)
{
	begin_attempt(attempt, row);
	make_invalid(attempt, reason);
	attempt->not_made = true;
	attempt->withheld = true;
}

/* What the attempt says about whom it was sent to. */
KgwSign
kgw_attempt_sign(const KgwAttempt *attempt)
{
	if (attempt->not_made || attempt->dropped)
		return KGW_SIGN_NONE;
	switch (attempt->outcome)
	{
		case KGW_ACKNOWLEDGED:
			return KGW_SIGN_SUCCESS;
		case KGW_REJECTED:
			return kgw_outcome_sign(attempt->response_status);
		case KGW_TIMED_OUT:
		case KGW_UNREACHABLE:
			return attempt->reached ? KGW_SIGN_FAILED : KGW_SIGN_DOWN;
		case KGW_BLOCKED:
			return KGW_SIGN_DOWN;
		default:
			return KGW_SIGN_NONE;
	}
}

/* Forget the attempt; room for the next one's body is kept unless it is large. */
void
kgw_attempt_clear(KgwAttempt *attempt)
{
	release_held(attempt);
	free(attempt->response_body);
	free(attempt->error);
	attempt->response_body = NULL;
	attempt->error = NULL;
	attempt->body = NULL;
	if (attempt->room_size > ROOM_KEPT)
	{
		free(attempt->room);
		attempt->room = NULL;
		attempt->room_size = 0;
	}
}

/* Free what the attempt holds, not the attempt itself. */
void
kgw_attempt_free(KgwAttempt *attempt)
{
	release_held(attempt);
	free(attempt->room);
	free(attempt->response_body);
	free(attempt->error);
}
