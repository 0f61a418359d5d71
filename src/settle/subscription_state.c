/*-------------------------------------------------------------------------
 *
 * subscription_state.c
 *	  How a subscription stands, as a worker knows it: paused, disabled, gone,
 *	  and since when its receiver has acknowledged nothing.
 *
 * The trigger enqueues for every subscription there is; what becomes of a
 * delivery is decided here, when its turn comes.  A worker remembers those that
 * it has lately met, and forgets them when someone has written the table.
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
 * src/settle/subscription_state.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "pg/encoding.h"
#include "pg/guc.h"
#include "pg/saved_plan.h"
#include "pure/retry_schedule.h"
#include "settle/subscription_state.h"
#include "shmem/commit_callback.h"

/* Subscriptions remembered at a time; past that, all are forgotten. */
#define REMEMBERED_MAX 4096

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

static HTAB *states;

/* Whether one by which rows may have been judged is remembered no more. */
static bool unsure;

/* How a subscription stands, if that is remembered, else NULL. */
const KgwSubscriptionState *
kgw_subscription_state_known(int64 subscription_id)
{
	return states == NULL ? NULL :
		hash_search(states, &subscription_id, HASH_FIND, NULL);
}

/*
 * Whether a row has to wait until the subscription is resumed, or its receiver has answered
 * the challenge, which is all that it gets before.
 */
bool
kgw_subscription_state_withholds(const KgwSubscriptionState *state, const KgwDelivery *row)
{
	if (state->refusal != NULL)
		return false;
	return state->paused || (state->challenge[0] != '\0' && !kgw_delivery_is_challenge(row));
}

/* Whether a row is a challenge, and not the one that the subscription waits for. */
bool
kgw_subscription_state_outdates(const KgwSubscriptionState *state, const KgwDelivery *row)
{
	return kgw_delivery_is_challenge(row) && strcmp(state->challenge, row->webhook_id) != 0;
}

static uint64
hash_url(const char *url)
{
	return hash_bytes_extended((const unsigned char *) url, strlen(url), 0);
}

/*
 * Whether a row goes to another URL than the one that has answered a challenge: a transaction that
 * began before the URL changed has ended since.
 */
bool
kgw_subscription_state_misses(const KgwSubscriptionState *state, const KgwDelivery *row)
{
	return state->url != 0 && !kgw_delivery_is_challenge(row) && hash_url(row->url) != state->url;
}

static void
forget_one(KgwSubscriptionState *state)
{
	if (state->refusal != NULL)
		pfree(state->refusal);
	hash_search(states, &state->subscription_id, HASH_REMOVE, NULL);
}

/* Someone has written the table: forget all of them. */
void
kgw_subscription_state_forget(void)
{
	HASH_SEQ_STATUS scan;
	KgwSubscriptionState *state;

	unsure = false;
	if (states == NULL)
		return;
	hash_seq_init(&scan, states);
	while ((state = hash_seq_search(&scan)) != NULL)
		forget_one(state);
}

static void
create_memory(void)
{
	HASHCTL		ctl = {0};

	ctl.keysize = sizeof(int64);
	ctl.entrysize = sizeof(KgwSubscriptionState);
	states = hash_create("kgwebhook subscriptions", 64, &ctl, HASH_ELEM | HASH_BLOBS);
}

/* Read the row of a subscription; refusal is in the current memory context. */
static void
read_state(KgwSubscriptionState *state)
{
	static SPIPlanPtr kept;
	Oid			types[] = {INT8OID};
	Datum		args[1];
	Datum		value;
	bool		isnull;
	HeapTuple	tuple;
	TupleDesc	desc;
	char	   *challenge;
	char	   *url;

	kgw_saved_plan(&kept,
			 "SELECT paused_at IS NOT NULL, failing_since,"
			 " pg_catalog.format('subscription %s is disabled since %s UTC: %s', subscription_id,"
			 " pg_catalog.to_char(disabled_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),"
			 " disabled_reason), disabled_at IS NOT NULL, resumed_at, told_at IS NOT NULL, own_secret,"
			 " pg_catalog.ceil(1000000 OPERATOR(pg_catalog./) rate_limit)::pg_catalog.int8, challenge,"
			 " CASE WHEN verify THEN url END"
			 "  FROM kgwebhook.subscription WHERE subscription_id OPERATOR(pg_catalog.=) $1",
			 1, types);
	args[0] = Int64GetDatum(state->subscription_id);
	if (SPI_execute_plan(kept, args, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.subscription");
	if (SPI_processed == 0)
	{
		state->refusal = psprintf("subscription " INT64_FORMAT " was removed",
									 state->subscription_id);
		SPI_freetuptable(SPI_tuptable);
		return;
	}
	tuple = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	state->paused = DatumGetBool(SPI_getbinval(tuple, desc, 1, &isnull));
	value = SPI_getbinval(tuple, desc, 2, &isnull);
	state->failing_since = isnull ? 0 : DatumGetTimestampTz(value);
	if (DatumGetBool(SPI_getbinval(tuple, desc, 4, &isnull)))
		state->refusal = SPI_getvalue(tuple, desc, 3);
	value = SPI_getbinval(tuple, desc, 5, &isnull);
	state->resumed_at = isnull ? 0 : DatumGetTimestampTz(value);
	state->told = DatumGetBool(SPI_getbinval(tuple, desc, 6, &isnull));
	state->own_secret = DatumGetBool(SPI_getbinval(tuple, desc, 7, &isnull));
	value = SPI_getbinval(tuple, desc, 8, &isnull);
	state->gap = isnull || state->refusal != NULL ? 0 : DatumGetInt64(value);
	challenge = SPI_getvalue(tuple, desc, 9);
	url = SPI_getvalue(tuple, desc, 10);
	state->url = url != NULL ? hash_url(url) : 0;
	strlcpy(state->challenge, challenge != NULL ? challenge : "", sizeof(state->challenge));
	SPI_freetuptable(SPI_tuptable);
}

/* Whether rows that were judged by one of these are judged the same by the other. */
static bool
is_same(const KgwSubscriptionState *a, const KgwSubscriptionState *b)
{
	return a->paused == b->paused && (a->refusal == NULL) == (b->refusal == NULL) && a->gap == b->gap &&
		strcmp(a->challenge, b->challenge) == 0;
}

/* Remember how one stands now. */
static void
replace_state(KgwSubscriptionState *state, const KgwSubscriptionState *now)
{
	char	   *refusal = now->refusal == NULL ? NULL : MemoryContextStrdup(TopMemoryContext, now->refusal);

	if (state->refusal != NULL)
		pfree(state->refusal);
	*state = *now;
	state->refusal = refusal;
}

/*
 * Someone has written the table: read again what is remembered.  True when rows
 * that were judged by it may have to be judged again; it is then forgotten.  Else it stays
 * remembered, for the next change is compared with it.  Needs SPI to be connected.
 */
bool
kgw_subscription_state_reread(void)
{
	HASH_SEQ_STATUS scan;
	KgwSubscriptionState *state;
	bool		changed = unsure;

	if (states == NULL)
		return changed;
	hash_seq_init(&scan, states);
	while (!changed && (state = hash_seq_search(&scan)) != NULL)
	{
		KgwSubscriptionState now = {.subscription_id = state->subscription_id};

		read_state(&now);
		changed = !is_same(state, &now);
		if (changed)
			hash_seq_term(&scan);
		else
			replace_state(state, &now);
	}
	if (changed)
		kgw_subscription_state_forget();
	return changed;
}

/*
 * Read how a subscription stands and remember it; one that isn't there refuses.
 * Needs SPI to be connected.  It is ours, and good until the next load or
 * kgw_subscription_state_forget().
 */
const KgwSubscriptionState *
kgw_subscription_state_load(int64 subscription_id)
{
	KgwSubscriptionState now = {.subscription_id = subscription_id};
	KgwSubscriptionState *state;
	bool		found;

	if (states == NULL)
		create_memory();
	if (hash_get_num_entries(states) >= REMEMBERED_MAX)
	{
		kgw_subscription_state_forget();
		unsure = true;
	}
	read_state(&now);
	state = hash_search(states, &subscription_id, HASH_ENTER, &found);
	if (!found)
		state->refusal = NULL;
	else
		unsure |= !is_same(state, &now);
	replace_state(state, &now);
	return state;
}

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
	KgwSubscriptionState *state;

	if (!change->changed || !write_change(change, reason))
		return;
	if (reason != NULL)
		announce(change, reason);
	if (change->event != NULL)
		tell(change);

	/* should this transaction fail, the table says what was before */
	state = hash_search(states, &change->subscription_id, HASH_FIND, NULL);
	if (state != NULL)
		forget_one(state);
	unsure = true;
}

/*
 * Note what these outcomes say of the subscriptions they were for.  Part of the
 * settling transaction, in the order of their conclusion; needs SPI to be
 * connected.
 */
void
kgw_subscription_state_settle(const KgwSettlement *settlements, int count)
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
