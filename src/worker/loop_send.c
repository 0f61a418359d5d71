/*-------------------------------------------------------------------------
 *
 * loop_send.c
 *	  A worker's sending half: from whose turn it is to what came back.
 *
 * Before a delivery goes, its organization's keys have to be known, and whether
 * its subscription takes it.  Both are kept in memory, and read in a short
 * transaction when they aren't.  What was out of its object's line for a time is
 * compared with the log besides.  What can't be read now gives its turn back rather
 * than go unsigned, to someone who has left, or after a newer status.
 *
 * Whatever becomes of a turn, it is concluded exactly once: the scheduler learns
 * what it says of whom it went to, loop_settle.c what is to be written down.
 *
 * src/worker/loop_send.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pg/extension.h"
#include "pg/guc.h"
#include "secrets/secret_cache.h"
#include "queue/replicated.h"
#include "send/attempt.h"
#include "settle/overtaken.h"
#include "settle/subscription_state.h"
#include "shmem/point.h"
#include "worker/error_trap.h"
#include "worker/loop_internal.h"

typedef struct KgwKeyringWanted
{
	const char *org_id;
	int64		subscription_id;	/* whose own secret signs, or 0 */
	const KgwKeyring *keyring;
} KgwKeyringWanted;

static void
load_keyring(void *arg)
{
	KgwKeyringWanted *wanted = arg;

	kgw_queue_read_begin();
	if (kgw_extension_hold())
		wanted->keyring = kgw_secret_cache_load(wanted->org_id, wanted->subscription_id);
	kgw_queue_read_end();
}

/* What signs a row that is about to be sent; NULL when that can't be read now. */
static const KgwKeyring *
keyring_for(const KgwDelivery *row)
{
	const KgwSubscriptionState *state = kgw_subscription_state_known(row->subscription_id);
	KgwKeyringWanted wanted = {.org_id = row->org_id};

	/* how the subscription stands was read for its turn; should it be forgotten, look for both */
	if (state != NULL ? state->own_secret : row->subscription_id != 0)
		wanted.subscription_id = row->subscription_id;
	wanted.keyring = kgw_secret_cache_known(row->org_id, wanted.subscription_id);
	if (wanted.keyring == NULL &&
		kgw_error_trap_passing(load_keyring, &wanted) != KGW_TRAP_DONE)
		return NULL;
	return wanted.keyring;
}

static void
load_subscription_state(void *arg)
{
	kgw_queue_read_begin();
	if (kgw_extension_hold())
		(void) kgw_subscription_state_load(*(int64 *) arg);
	kgw_queue_read_end();
}

/*
 * Why a row's subscription doesn't take it, or NULL; or whether it is a challenge that is not
 * waited for any more.  False when that can't be read now.
 */
static bool
find_refusal(const KgwDelivery *row, const char **refusal, bool *outdated)
{
	int64		subscription_id = row->subscription_id;
	const KgwSubscriptionState *state;

	*refusal = NULL;
	*outdated = false;
	if (subscription_id == 0)
		return true;
	if (kgw_subscription_state_known(subscription_id) == NULL &&
		kgw_error_trap_passing(load_subscription_state, &subscription_id) != KGW_TRAP_DONE)
		return false;
	state = kgw_subscription_state_known(subscription_id);

	/* what is remembered may be a moment older than the row, and what that is about */
	if (state != NULL && (kgw_subscription_state_misses(state, row) || kgw_subscription_state_outdates(state, row)))
	{
		if (kgw_error_trap_passing(load_subscription_state, &subscription_id) != KGW_TRAP_DONE)
			return false;
		state = kgw_subscription_state_known(subscription_id);
		if (state != NULL && kgw_subscription_state_withholds(state, row))
			return false;
	}
	if (state == NULL)
		return false;
	*refusal = state->refusal;
	if (state->refusal == NULL && kgw_subscription_state_misses(state, row))
		*refusal = "its subscription has another URL since, and this one has not answered a challenge";
	*outdated = state->refusal == NULL && kgw_subscription_state_outdates(state, row);
	return true;
}

typedef struct KgwLogLook
{
	const KgwDelivery *row;
	TimestampTz since;
	bool		overtaken;
} KgwLogLook;

static void
look_into_log(void *arg)
{
	KgwLogLook *look = arg;

	kgw_queue_read_begin();
	if (kgw_extension_hold())
		look->overtaken = kgw_overtaken(look->row, look->since);
	kgw_queue_read_end();
}

/*
 * Whether a newer status was acknowledged before a row that was out of its object's
 * line for a time: see overtaken.c.  False when that can't be read now.
 */
static bool
find_overtaken(const KgwDelivery *row, bool *overtaken)
{
	KgwLogLook	look = {.row = row, .overtaken = false};

	if (kgw_overtaken_possible(row, &look.since) &&
		kgw_error_trap_passing(look_into_log, &look) != KGW_TRAP_DONE)
		return false;
	*overtaken = look.overtaken;
	return true;
}

/* An attempt has come to its end; what it means is decided and kept. */
static void
conclude(KgwLoop *loop, KgwJob *job)
{
	/* what died with a kept connection says nothing either way */
	if (!job->attempt.dropped)
		kgw_object_order_note_refusal(loop->scheduler, job->entry,
								   job->attempt.outcome == KGW_REJECTED);
	kgw_scheduler_concluded(loop->scheduler, job->entry, kgw_attempt_sign(&job->attempt));
	kgw_loop_settle_conclude(loop->outcomes, job, kgw_clock_ticks());
}

/* Begin an attempt; true when its request is on its way. */
static bool
send_attempt(KgwLoop *loop, KgwJob *job, const KgwKeyring *keyring)
{
	KgwRequest	request;

	if (!kgw_attempt_prepare(&job->attempt, job->row, keyring))
		return false;
	KGW_POINT("signed");
	kgw_attempt_request(&job->attempt, job->row, &request);
	request.fresh = kgw_scheduler_wants_fresh(job->entry);
	if (kgw_http_client_send(loop->http, &request, job))
		return true;
	kgw_attempt_abandon(&job->attempt, "out of memory");
	return false;
}

/* A turn that can't be taken after all. */
static void
give_back(KgwLoop *loop, KgwEntry *entry)
{
	kgw_scheduler_concluded(loop->scheduler, entry, KGW_SIGN_NONE);
	kgw_scheduler_retry(loop->scheduler, entry, KGW_OVERDUE, KGW_OVERDUE);
	kgw_loop_read_stop(loop);
}

static void
take_turn(KgwLoop *loop, KgwEntry *entry, KgwTurn turn)
{
	const KgwDelivery *row = kgw_scheduler_row(entry);
	const KgwKeyring *keyring = NULL;
	const char *refusal = NULL;
	bool		outdated = false;
	bool		overtaken = false;
	KgwJob	   *job;

	KGW_POINT("chosen");
	if (turn == KGW_TURN_SEND)
	{
		/* the refusal first: then how the subscription stands is known */
		if (!find_refusal(row, &refusal, &outdated))
		{
			give_back(loop, entry);
			return;
		}
		if (!find_overtaken(row, &overtaken) ||
			(refusal == NULL && !outdated && !overtaken && (keyring = keyring_for(row)) == NULL))
		{
			give_back(loop, entry);
			return;
		}
	}
	job = kgw_loop_settle_begin(loop->outcomes, entry, row);
	switch (turn)
	{
		case KGW_TURN_SEND:
			if (refusal != NULL)
				kgw_attempt_withhold(&job->attempt, row, refusal);
			else if (outdated)
				kgw_attempt_outdated(&job->attempt, row);
			else if (overtaken)
				kgw_attempt_overtaken(&job->attempt, row);
			else if (send_attempt(loop, job, keyring))
			{
				loop->told = false;
				loop->in_flight++;
				return;
			}
			break;
		case KGW_TURN_SUPERSEDE:
			kgw_attempt_supersede(&job->attempt, job->row);
			break;
		case KGW_TURN_EXPIRE:
			kgw_attempt_expire(&job->attempt, job->row);
			break;
	}
	conclude(loop, job);
}

/* Take in what has come back. */
void
kgw_loop_send_collect(KgwLoop *loop)
{
	KgwHttpRequest *transfer;
	KgwResponse response;
	void	   *owner;

	while ((transfer = kgw_http_client_next(loop->http, &owner, &response)) != NULL)
	{
		KgwJob *job = owner;

		KGW_POINT("answered");
		kgw_attempt_conclude(&job->attempt, &response);
		kgw_scheduler_answered(job->entry, response.transport == KGW_HTTP_ANSWERED);
		kgw_http_client_release(loop->http, transfer);
		loop->in_flight--;
		conclude(loop, job);
	}
}

/* Whether attempts may be made at all. */
bool
kgw_loop_send_allowed(const KgwLoop *loop)
{
	return kgw_settings.enabled && !loop->fenced && kgw_replicated_reached();
}

/* Whether there is room for one more request. */
bool
kgw_loop_send_has_room(const KgwLoop *loop)
{
	return kgw_loop_send_allowed(loop) &&
		loop->in_flight < loop->limit &&
		!kgw_loop_settle_full(loop->outcomes);
}

/* Send as much as limits and memory allow. */
void
kgw_loop_send_run(KgwLoop *loop)
{
	KgwEntry   *entry;
	KgwTurn		turn;

	while (kgw_loop_send_has_room(loop) &&
		   (entry = kgw_scheduler_next(loop->scheduler, &turn)) != NULL)
		take_turn(loop, entry, turn);
}
