/*-------------------------------------------------------------------------
 *
 * retry_policy.c
 *	  What becomes of a delivery after an attempt (design A1).
 *
 *	acknowledged				 done
 *	410, or invalid				 dead at once: trying again is of no use
 *	expired, without an attempt	 dead: its destination was backing off for the whole span
 *								 of the schedule
 *	withheld, without one		 dead: its subscription is disabled or was removed
 *	no signing secret yet		 waits until there is one, however long
 *	429 or 503 with Retry-After	 again when the receiver wants it, but never
 *								 earlier than by the schedule
 *	died with a kept connection	 again at once, by a fresh one, as if it had not
 *								 been tried: nobody has failed, and the next can't
 *								 end like that
 *	a turn ahead of its time	 again when its time comes, as if there had been none
 *								 (recovery.c)
 *	anything else				 again by kgwebhook.retry_schedule, dead after
 *								 its end; one that was queued again begins the
 *								 schedule over again
 *
 * src/settle/retry_policy.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "utils/timestamp.h"

#include "pg/guc.h"
#include "pure/retry_schedule.h"
#include "settle/retry_policy.h"

/* Room for a reason; it is cut if it is longer. */
#define REASON_SIZE 400

static char *
format_reason(const char *format, int attempts, const char *error)
{
	char	   *reason = palloc(REASON_SIZE);

	snprintf(reason, REASON_SIZE, format, attempts, error ? error : "");
	return reason;
}

static const char *
reason_to_give_up(const KgwAttempt *attempt)
{
	if (attempt->withheld)
		return attempt->error ? attempt->error : "its subscription takes no deliveries";
	if (attempt->not_made)
		return format_reason("gave up after %d attempts: the destination was unavailable"
							 " for the whole span of kgwebhook.retry_schedule%s",
							 attempt->number - 1, NULL);
	if (attempt->outcome == KGW_INVALID)
		return psprintf("invalid: %s", attempt->error ? attempt->error : "out of memory");
	return "the receiver answered 410 Gone";
}

/*
 * Fill in fate, reason and next_attempt_at from row and attempt.  Allocates in
 * the current memory context.
 */
void
kgw_retry_policy_decide(KgwSettlement *settlement)
{
	const KgwAttempt *attempt = settlement->attempt;
	int64		delay;

	if (attempt->give_up)
	{
		settlement->fate = KGW_FATE_DEAD;
		settlement->reason = reason_to_give_up(attempt);
		return;
	}
	if (attempt->outcome == KGW_ACKNOWLEDGED || attempt->outcome == KGW_SUPERSEDED)
	{
		settlement->fate = KGW_FATE_DONE;
		return;
	}
	settlement->fate = KGW_FATE_RETRY;
	if (attempt->outcome == KGW_REJECTED)
		settlement->refused_at = GetCurrentTimestamp();
	if (attempt->no_secret)
	{
		TIMESTAMP_NOEND(settlement->next_attempt_at);
		return;
	}
	if (attempt->dropped)
	{
		settlement->undone = true;
		settlement->refused_at = settlement->row->refused_at;
		settlement->not_before = settlement->row->not_before;
		settlement->next_attempt_at = GetCurrentTimestamp();
		return;
	}
	delay = kgw_retry_schedule_delay(kgw_settings.schedule,
							   attempt->number - settlement->row->attempts_before,
							   kgw_settings.retry_jitter,
							   pg_prng_double(&pg_global_prng_state));
	if (attempt->retry_after >= 0)
		settlement->not_before = GetCurrentTimestamp() +
			kgw_retry_schedule_lengthened(0, attempt->retry_after);
	if (settlement->row->ahead)
	{
		/* it costs nothing of the schedule, and its own time is yet to come */
		settlement->undone = true;
		settlement->next_attempt_at =
			Max(settlement->row->next_attempt_at,
				Max(GetCurrentTimestamp(), settlement->not_before));
		return;
	}
	if (delay < 0)
	{
		settlement->fate = KGW_FATE_DEAD;
		settlement->reason = format_reason("gave up after %d attempts; the last one: %s",
										   attempt->number, attempt->error);
		return;
	}
	settlement->next_attempt_at = GetCurrentTimestamp() +
		kgw_retry_schedule_lengthened(delay, attempt->retry_after);
}
