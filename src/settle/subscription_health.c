/*-------------------------------------------------------------------------
 *
 * subscription_health.c
 *	  What outcomes make of a subscription: failing, healthy again, disabled.
 *
 * A subscription is disabled when its receiver says that it is gone (410), and
 * when one of its deliveries is given up and nothing has been acknowledged for
 * the whole span of kgwebhook.retry_schedule.  That is written in the
 * transaction that settles the delivery.  In between only changes are written:
 * the first failure, and the first acknowledgement after it.  So a healthy one
 * costs nothing.
 *
 * What an organization has to know is an event of its own: that an endpoint has been
 * failing for long, is disabled, or is back.
 *
 * A row that a session has locked (to pause it, say) is left as it is, and the
 * next outcome tries again: one session's open transaction must not hold up
 * what others get.
 *
 * src/settle/subscription_health.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "pg/encoding.h"
#include "pg/guc.h"
#include "pg/saved_plan.h"
#include "pure/retry_schedule.h"
#include "settle/subscription_health.h"
#include "settle/subscription_state.h"
#include "shmem/commit_callback.h"

/* Room for a reason; it is cut if it is longer. */
#define REASON_SIZE 400

/* After so long, its failing is told to the organization. */
#define TOLD_AFTER USECS_PER_HOUR

/* How one stands after some of a batch's outcomes. */
typedef struct KgwChange
{
	int64		subscription_id;
	bool		changed;
	TimestampTz failing_since;
	char	   *disabled;		/* the reason, if that's what it comes to */
	bool		told;			/* that it is failing */
	const char *event;			/* what is to be told now, or NULL */
	char	   *why;			/* and the reason */
} KgwChange;

/* Whether the outcome says something of the receiver. */
static bool
speaks_of_receiver(const KgwSettlement *settlement)
{
	if (settlement->attempt->dropped)
		return false;
	switch (settlement->attempt->outcome)
	{
		case KGW_INVALID:
		case KGW_SUPERSEDED:
			return false;
		default:
			return settlement->row->subscription_id != 0 && !settlement->locked;
	}
}

/* The change of a subscription, from how it stands in memory; NULL: it is off already. */
static KgwChange *
change_of(KgwChange *changes, int *count, int64 subscription_id)
{
	const KgwSubscriptionState *state;

	for (int i = 0; i < *count; i++)
	{
		if (changes[i].subscription_id == subscription_id)
			return &changes[i];
	}
	state = kgw_subscription_state_known(subscription_id);
	if (state == NULL)
		state = kgw_subscription_state_load(subscription_id);
	if (state->refusal != NULL)
		return NULL;
	changes[*count] = (KgwChange) {
		.subscription_id = subscription_id,
		.failing_since = state->failing_since,
		.told = state->told
	};
	return &changes[(*count)++];
}

/*
 * Whether it has failed for the whole span of the schedule: as it is at its
 * shortest, because the delivery that is given up has been through it.
 */
static bool
has_failed_for_long(const KgwChange *change)
{
	int64		span = kgw_retry_schedule_span(kgw_settings.schedule) * (1 - kgw_settings.retry_jitter);

	return GetCurrentTimestamp() - change->failing_since >= span;
}

/*
 * Whether its failing is to be told: once, when a delivery is given up or it has gone on for
 * an hour, and when it is disabled.
 */
static void
note_what_to_tell(KgwChange *change, const KgwSettlement *settlement)
{
	const char *error = settlement->attempt->error;

	if (change->disabled != NULL)
		change->event = "endpoint.disabled";
	else if (change->told)
		return;
	else if (settlement->fate == KGW_FATE_DEAD ||
			 GetCurrentTimestamp() - change->failing_since >= TOLD_AFTER)
		change->event = "endpoint.failing";
	else
		return;
	change->told = true;
	change->changed = true;
	change->why = pstrdup(error != NULL ? error : "out of memory");
}

/* Take one outcome in. */
static void
apply(KgwChange *change, const KgwSettlement *settlement)
{
	const KgwAttempt *attempt = settlement->attempt;

	if (change->disabled != NULL)
		return;
	if (attempt->outcome == KGW_ACKNOWLEDGED)
	{
		change->changed |= change->failing_since != 0 || change->told;
		change->failing_since = 0;
		change->event = change->told ? "endpoint.recovered" : NULL;
		change->told = false;
		return;
	}
	if (change->failing_since == 0)
	{
		change->failing_since = attempt->started_at;
		change->changed = true;
	}
	if (attempt->response_status == 410)
		change->disabled = pstrdup("the receiver answered 410 Gone");
	else if (settlement->fate == KGW_FATE_DEAD && has_failed_for_long(change))
	{
		change->disabled = palloc(REASON_SIZE);
		snprintf(change->disabled, REASON_SIZE,
				 "nothing was acknowledged for the whole span of kgwebhook.retry_schedule"
				 "; the last attempt: %s", attempt->error ? attempt->error : "out of memory");
	}
	change->changed |= change->disabled != NULL;
	note_what_to_tell(change, settlement);
}

/* Write a change down; false when a session has locked the row, or has removed it. */
static bool
write_change(const KgwChange *change, const char *reason)
{
	static SPIPlanPtr kept;
	Oid			types[] = {INT8OID, TIMESTAMPTZOID, TEXTOID, BOOLOID};
	Datum		args[4] = {Int64GetDatum(change->subscription_id), 0, 0, BoolGetDatum(change->told)};
	char		nulls[] = "    ";

	kgw_saved_plan(&kept,
			 "UPDATE kgwebhook.subscription s SET failing_since = $2,"
			 "   disabled_at = CASE WHEN $3 IS NOT NULL THEN pg_catalog.now() END, disabled_reason = $3,"
			 "   told_at = CASE WHEN $4 THEN coalesce(told_at, pg_catalog.now()) END"
			 " WHERE s.subscription_id OPERATOR(pg_catalog.=) ANY (ARRAY("
			 "   SELECT n.subscription_id FROM kgwebhook.subscription n"
			 "    WHERE n.subscription_id OPERATOR(pg_catalog.=) $1 AND n.disabled_at IS NULL"
			 "      FOR UPDATE SKIP LOCKED))", 4, types);
	if (change->failing_since != 0)
		args[1] = TimestampTzGetDatum(change->failing_since);
	else
		nulls[1] = 'n';
	if (reason != NULL)
		args[2] = CStringGetTextDatum(reason);
	else
		nulls[2] = 'n';
	if (SPI_execute_plan(kept, args, nulls, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write kgwebhook.subscription");
	return SPI_processed > 0;
}

/* Say so, and have what waits for it looked at again. */
static void
announce(const KgwChange *change, const char *reason)
{
	ereport(WARNING,
			(errcode(ERRCODE_CONNECTION_EXCEPTION),
			 errmsg("kgwebhook has disabled subscription " INT64_FORMAT, change->subscription_id),
			 errdetail("Its events become dead letters: %s.", reason),
			 errhint("When its receiver is fixed, call kg_resume_subscription(" INT64_FORMAT
					 ") and then kg_recover() to send the events it missed.", change->subscription_id)));
	kgw_commit_callback_changed(KGW_CHANGED_SUBSCRIPTIONS);
}

/* Have it told to the organization's other endpoints, and to the platform. */
static void
tell(const KgwChange *change)
{
	static SPIPlanPtr kept;
	Oid			types[] = {INT8OID, TEXTOID, TEXTOID};
	Datum		args[3] = {Int64GetDatum(change->subscription_id), CStringGetTextDatum(change->event)};
	char		nulls[] = "  n";

	if (change->why != NULL)
	{
		args[2] = CStringGetTextDatum(kgw_encoding_from_wire(change->why, strlen(change->why)));
		nulls[2] = ' ';
	}
	kgw_saved_plan(&kept, "SELECT kgwebhook.tell_endpoint($1, $2, $3)", 3, types);
	if (SPI_execute_plan(kept, args, nulls, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not tell about a subscription");
	kgw_commit_callback_wake(1);
}

static void
settle_change(const KgwChange *change)
{
	const char *reason = change->disabled == NULL ? NULL :
		kgw_encoding_from_wire(change->disabled, strlen(change->disabled));

	if (!change->changed || !write_change(change, reason))
		return;
	if (reason != NULL)
		announce(change, reason);
	if (change->event != NULL)
		tell(change);

	/* should this transaction fail, the table says what was before */
	kgw_subscription_state_written(change->subscription_id);
}

/*
 * Note what these outcomes say of the subscriptions they were for.  Part of the
 * settling transaction, in the order of their conclusion; needs SPI to be
 * connected.
 */
void
kgw_subscription_health_settle(const KgwSettlement *settlements, int count)
{
	KgwChange  *changes = NULL;
	int			changed = 0;

	for (int i = 0; i < count; i++)
	{
		KgwChange  *change;

		if (!speaks_of_receiver(&settlements[i]))
			continue;
		if (changes == NULL)
			changes = palloc(count * sizeof(KgwChange));
		change = change_of(changes, &changed, settlements[i].row->subscription_id);
		if (change != NULL)
			apply(change, &settlements[i]);
	}
	for (int i = 0; i < changed; i++)
		settle_change(&changes[i]);
}
