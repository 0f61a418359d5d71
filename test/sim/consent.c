/*-------------------------------------------------------------------------
 *
 * consent.c
 *	  What a worker's loop asks about consent: in these worlds each endpoint has given it.
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

bool
kgw_delivery_is_challenge(const KgwDelivery *row)
{
	return false;
}

bool
kgw_challenge_draw(char challenge[KGW_CHALLENGE_SIZE])
{
	challenge[0] = '\0';
	return true;
}

bool
kgw_challenge_is_returned(const char *challenge, const char *body, size_t len)
{
	return false;
}

bool
kgw_subscription_state_withholds(const KgwSubscriptionState *state, const KgwDelivery *row)
{
	return state->refusal == NULL && state->paused;
}

bool
kgw_subscription_state_misses(const KgwSubscriptionState *state, const KgwDelivery *row)
{
	return false;
}

bool
kgw_subscription_state_outdates(const KgwSubscriptionState *state, const KgwDelivery *row)
{
	return false;
}

bool
kgw_own_consent_withholds(const KgwDelivery *row)
{
	return false;
}

bool
kgw_own_consent_reread(void)
{
	return false;
}

void
kgw_own_consent_forget(void)
{
}
