/*-------------------------------------------------------------------------
 *
 * loop_due.c
 *	  When a delivery that has been read may be sent: now, later, or not before
 *	  everything is read again.
 *
 * The table has the wall clock's time, for people and for the next process; a worker
 * waits by the monotonic one.  They are put together here, once for each row that is
 * read, by the two clocks as they were when the read began.  A wall clock that was set
 * must neither hold a delivery up nor send it before its receiver wants it.
 *
 * What a row waits for may be no time at all: a subscription that is paused, a challenge
 * that has no answer yet, a secret that nobody has given.  The worker hears of each of
 * these when it changes, and never polls.
 *
 * It runs within the read's transaction, and reads what it has to know of subscriptions
 * and secrets where that isn't remembered.
 *
 * src/worker/loop_due.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "pg/guc.h"
#include "pure/retry_schedule.h"
#include "secrets/secret_cache.h"
#include "settle/own_consent.h"
#include "settle/subscription_state.h"
#include "worker/loop_internal.h"

/*
 * When the clock has been set back, times in the table may be far too late, by as
 * much.  Nothing waits longer for that than its schedule has it wait; or than a receiver may
 * ask by Retry-After where this one has asked: it is called too late rather than too early.
 */
static TimestampTz
latest_attempt_at(const KgwLoop *loop, const KgwDelivery *row)
{
	int64		pause;
	TimestampTz wish;

	if (!loop->set_back && row->enqueued_at <= loop->wall)
		return row->next_attempt_at;
	pause = kgw_retry_schedule_delay(kgw_settings.schedule, Max(row->attempts, 1),
							   kgw_settings.retry_jitter, 1);
	wish = Min(row->not_before, loop->wall + KGW_RETRY_AFTER_CAP * USECS_PER_SEC);
	return Min(row->next_attempt_at, Max(wish, loop->wall + Max(pause, 0)));
}

/* How the subscription stands that a row is for; NULL when it is for none. */
static const KgwSubscriptionState *
subscription_state_of(const KgwDelivery *row)
{
	const KgwSubscriptionState *state;

	if (row->subscription_id == 0)
		return NULL;
	state = kgw_subscription_state_known(row->subscription_id);
	return state != NULL ? state : kgw_subscription_state_load(row->subscription_id);
}

/*
 * Whether a row stays in the table until its subscription is resumed, or has answered its
 * challenge, or its own URL is covered by such an answer, of which we then hear, and read everything again.
 */
bool
kgw_loop_due_stays(const KgwDelivery *row)
{
	const KgwSubscriptionState *state = subscription_state_of(row);

	return state != NULL ? kgw_subscription_state_withholds(state, row) : kgw_own_consent_withholds(row);
}

/* How far apart the requests of a row's subscription have to be, microseconds; 0: they need not. */
static int64
gap_of(const KgwDelivery *row)
{
	const KgwSubscriptionState *state = subscription_state_of(row);

	return state != NULL ? state->gap : 0;
}

/*
 * Into the row, what limits it whatever recovers: not before this, by the monotonic clock, as
 * the receiver asked for by Retry-After; and its subscription's rate.
 */
void
kgw_loop_due_limits(const KgwLoop *loop, KgwDelivery *row)
{
	row->wish = kgw_clock_due(Min(row->not_before, latest_attempt_at(loop, row)), loop->wall, loop->now);
	row->gap = gap_of(row);
}

/* When a row may be sent, by the monotonic clock. */
KgwTicks
kgw_loop_due(const KgwLoop *loop, const KgwDelivery *row)
{
	const KgwSubscriptionState *state = subscription_state_of(row);

	/* what isn't taken needs no time of its own to be told so */
	if (state != NULL && (state->refusal != NULL || kgw_subscription_state_outdates(state, row)))
		return KGW_OVERDUE;

	/* one that waits for a secret is due as soon as there is one */
	if (TIMESTAMP_IS_NOEND(row->next_attempt_at))
	{
		int64		holder = state != NULL && state->own_secret ? row->subscription_id : 0;
		const KgwKeyring *keyring = kgw_secret_cache_known(row->org_id, holder);

		if (keyring == NULL)
			keyring = kgw_secret_cache_load(row->org_id, holder);
		return kgw_keyring_fault(keyring, row->subscription_id) == NULL ? KGW_OVERDUE : KGW_NEVER;
	}

	/* nobody has put it off yet, so it is due, whatever the clock has done since */
	if (row->attempts == 0 && row->next_attempt_at <= row->enqueued_at)
		return KGW_OVERDUE;
	return kgw_clock_due(latest_attempt_at(loop, row), loop->wall, loop->now);
}

/*
 * When a delivery has had its time, by the monotonic clock: the whole span of
 * the schedule at its longest.
 */
KgwTicks
kgw_loop_due_expiry(const KgwLoop *loop, const KgwDelivery *row)
{
	int64		span = kgw_retry_schedule_span(kgw_settings.schedule) * (1 + kgw_settings.retry_jitter);

	return kgw_clock_due(row->enqueued_at + span, loop->wall, loop->now);
}
