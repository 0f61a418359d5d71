/*-------------------------------------------------------------------------
 *
 * consent.c
 *	  Endpoints that get nothing before they have answered a challenge.
 *
 * In place of settle/subscription_state.c's judgment, own_consent.c, verified.c and
 * send/challenge.c.  Now and then a subscription is given a challenge, as by kg_subscribe()
 * or a URL that has changed: from then on what is for it is withheld, and so are the own
 * URLs of every second organization, which have to be covered by it.  Its receiver
 * doesn't always return what it is asked for; once the world has healed, it does.
 *
 * test/sim/consent.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "queue/delivery.h"
#include "send/challenge.h"
#include "settle/own_consent.h"
#include "settle/subscription_state.h"
#include "shmem/changes.h"

#include "sim.h"

static const char wanted[] = "what is asked for";

/* Whether an organization's own URLs have to be covered. */
static bool
covers(int org)
{
	return org % 2 == 1;
}

/* The subscription's receiver is asked, and asked again if it was before. */
void
sim_consent_ask(SimEndpoint *e)
{
	if (e->challenger.id[0] == '\0')
		snprintf(e->challenger.id, sizeof(e->challenger.id), "asked");
	e->challenger.org = e->org;
	e->challenge = sim_table_insert(&e->challenger, e, 0);
	sim_row(e->challenge)->challenge = true;
	sim_table_show(e->challenge);
	sim_commits++;
	sim_changed(KGW_CHANGED_SUBSCRIPTIONS);
}

/* The world has healed: who has not answered by now, or was given up, is asked again. */
void
sim_consent_ask_again(void)
{
	for (int i = 0; i < sim_orgs; i++)
	{
		SimEndpoint *e = sim_subscriber(i);

		if (e != NULL && e->challenge != 0 && !sim_row(e->challenge)->present)
			sim_consent_ask(e);
	}
}

/*
 * A challenge has left the table, answered or given up.  One that was followed by another
 * says nothing, and one that is given up in a world that has healed is asked again.
 */
void
sim_consent_settled(const SimRow *row, bool given)
{
	if (row->endpoint->challenge != row->id)
		return;
	if (!given)
	{
		if (sim_healed)
			sim_consent_ask(row->endpoint);
		return;
	}
	row->endpoint->challenge = 0;
	sim_changed(KGW_CHANGED_SUBSCRIPTIONS);
	sim_oracle_disturbed();
}

/* Whether a row has to wait for an answer. */
bool
sim_consent_is_missing(const SimRow *row)
{
	const SimEndpoint *e = row->endpoint;

	if (e->subscription_id == 0)
		e = covers(row->object->org) ? sim_subscriber(row->object->org) : NULL;
	return e != NULL && e->challenge != 0 && !row->challenge;
}

/* What a receiver returns to a challenge. */
const char *
sim_consent_body(SimRow *row, SimRandom *r)
{
	row->returned = row->challenge && (sim_healed || sim_chance(r, 50));
	return row->returned ? wanted : "";
}

bool
kgw_delivery_is_challenge(const KgwDelivery *row)
{
	return sim_row(row->delivery_id)->challenge;
}

bool
kgw_challenge_draw(char challenge[KGW_CHALLENGE_SIZE])
{
	strlcpy(challenge, wanted, KGW_CHALLENGE_SIZE);
	return true;
}

bool
kgw_challenge_is_returned(const char *challenge, const char *body, size_t len)
{
	return len == strlen(challenge) && memcmp(challenge, body, len) == 0;
}

bool
kgw_subscription_state_withholds(const KgwSubscriptionState *state, const KgwDelivery *row)
{
	return state->challenge[0] != '\0' && !kgw_delivery_is_challenge(row);
}

bool
kgw_subscription_state_misses(const KgwSubscriptionState *state, const KgwDelivery *row)
{
	return false;
}

bool
kgw_subscription_state_outdates(const KgwSubscriptionState *state, const KgwDelivery *row)
{
	return kgw_delivery_is_challenge(row) && strtoll(state->challenge, NULL, 10) != row->delivery_id;
}

bool
kgw_own_consent_withholds(const KgwDelivery *row)
{
	return sim_consent_is_missing(sim_row(row->delivery_id));
}

bool
kgw_own_consent_reread(void)
{
	return HAS(CONSENT);
}

void
kgw_own_consent_forget(void)
{
}
