/*-------------------------------------------------------------------------
 *
 * subscription_state.c
 *	  How a subscription stands, as a worker knows it: paused, disabled, gone,
 *	  and since when its receiver has acknowledged nothing.
 *
 * The trigger enqueues for every subscription there is; what becomes of a
 * delivery is decided here, when its turn comes.  A worker remembers those that
 * it has lately met, and forgets them when someone has written the table.  What
 * outcomes make of a subscription is subscription_health.c's.
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

#include "pg/saved_plan.h"
#include "settle/subscription_state.h"

/* Subscriptions remembered at a time; past that, all are forgotten. */
#define REMEMBERED_MAX 4096

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
	if (!changed)
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

/*
 * This worker has written the row of one, in a transaction that may yet fail: it is
 * remembered no more, and what was judged by it may have to be judged again.
 */
void
kgw_subscription_state_written(int64 subscription_id)
{
	KgwSubscriptionState *state = states == NULL ? NULL :
		hash_search(states, &subscription_id, HASH_FIND, NULL);

	if (state != NULL)
		forget_one(state);
	unsure = true;
}
