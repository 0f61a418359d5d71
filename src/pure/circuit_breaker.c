/*-------------------------------------------------------------------------
 *
 * circuit_breaker.c
 *	  How much a destination, or an endpoint of one, is trusted with: its window
 *	  and its breaker (design B3, B4).
 *
 * The window is the number of requests that may be in flight.  It opens by one
 * with each success and halves with each failure, as TCP's does: a receiver that
 * comes back from an outage is asked a little at first and soon as much as it
 * takes.
 *
 * Health belongs to what failed, so there are two of these for each delivery.  A
 * destination, which is a host, fails by what can't be reached, and by nothing
 * else: whatever it answers, someone is there, and many who have nothing to do
 * with one another may share it.  An endpoint fails by its answers, or by their
 * absence.  Which of the two a sign is for is decided in schedule/recovery.c.
 *
 * The breaker opens when one object after the other has failed, or when nothing
 * could be reached.  A single object that fails again and again is the object's
 * fault, however often it is tried; were that to open the breaker, a poison row
 * could hold its successors for ever.  What is refused for what it says (400,
 * 422) is about that delivery and counts for nothing here.  While the breaker is
 * open one request at a time goes as a probe, after pauses that grow; the first
 * success closes it, and so does the first refusal: it was read.
 *
 *		closed ── 5 suspects, or 5 times unreachable ──► open
 *		   ▲											   │ ▲
 *		   └── success ──────────────────────── probe ◄──┘ │
 *												  └─ failure, pause doubled
 *
 * It keeps count of the time that the breaker was closed, because only then
 * a refused transition may be held against its successors.  An endpoint's count
 * also stands still while its destination's breaker is open.
 *
 * Pure: no clock of its own, so that tests can let days pass.
 *
 * src/pure/circuit_breaker.c
 *
 *-------------------------------------------------------------------------
 */
#include "pure/circuit_breaker.h"

/* More than any setting allows. */
#define WINDOW_MAX 10000.0

/* The pause before the first probe, and the longest one. */
#define PAUSE_MIN INT64_C(500000)
#define PAUSE_MAX INT64_C(60000000)

/* Of something that nothing is known of. */
void
kgw_circuit_breaker_init(KgwHealth *health, int window, int64_t now)
{
	*health = (KgwHealth) {
		.window = window,
		.counting = true,
		.closed_since = now
	};
}

/* Requests that may be in flight now; at most "cap". */
int
kgw_circuit_breaker_limit(const KgwHealth *health, int cap, int64_t now)
{
	if (health->open)
		return now >= health->probe_at ? 1 : 0;
	return health->window < cap ? (int) health->window : cap;
}

/* Whether the breaker is open and it is time to send a probe. */
bool
kgw_circuit_breaker_probe_due(const KgwHealth *health, int64_t now)
{
	return health->open && now >= health->probe_at;
}

/* Count the time, or stop to, as things stand now. */
static void
count_time(KgwHealth *health, int64_t now)
{
	bool		counting = !health->open && !health->suspended;

	if (health->counting && !counting)
		health->closed_total += now - health->closed_since;
	else if (counting && !health->counting)
		health->closed_since = now;
	health->counting = counting;
}

static void
close_breaker(KgwHealth *health, int64_t now)
{
	health->open = false;
	health->window = 1;
	count_time(health, now);
}

static void
open_breaker(KgwHealth *health, int64_t now)
{
	health->open = true;
	health->pause = PAUSE_MIN;
	health->probe_at = now + health->pause;
	health->window = 1;
	count_time(health, now);
}

static void
count_success(KgwHealth *health, int64_t now)
{
	health->failures = 0;
	health->suspect_count = 0;
	if (health->open)
		close_breaker(health, now);
	else if (health->window < WINDOW_MAX)
		health->window += 1;
}

/* Add a suspect, unless it is one already. */
static void
suspect(KgwHealth *health, uint64_t object)
{
	for (int i = 0; i < health->suspect_count; i++)
	{
		if (health->suspects[i] == object)
			return;
	}
	if (health->suspect_count < KGW_HEALTH_SUSPECTS)
		health->suspects[health->suspect_count++] = object;
}

static void
note_failure(KgwHealth *health, KgwSign sign, uint64_t object, int64_t now)
{
	health->failures++;
	health->failed_at = now;

	/* what can't be reached can't be told what it was about */
	suspect(health, sign == KGW_SIGN_DOWN ? (uint64_t) health->failures : object);
	if (health->window > 1)
		health->window = health->window / 2 < 1 ? 1 : health->window / 2;
	if (!health->open)
	{
		if (health->suspect_count >= KGW_HEALTH_SUSPECTS)
			open_breaker(health, now);
		return;
	}

	/* what was in flight when it opened is no probe */
	if (now < health->probe_at)
		return;
	health->pause = health->pause * 2 > PAUSE_MAX ? PAUSE_MAX : health->pause * 2;
	health->probe_at = now + health->pause;
}

/*
 * Take in what an attempt says; "object" tells objects apart.
 */
void
kgw_circuit_breaker_note(KgwHealth *health, KgwSign sign, uint64_t object, int64_t now)
{
	if (sign == KGW_SIGN_SUCCESS || (sign == KGW_SIGN_REFUSED && health->open))
		count_success(health, now);
	else if (sign == KGW_SIGN_FAILED || sign == KGW_SIGN_DOWN)
		note_failure(health, sign, object, now);
}

/* What it depends on has opened its breaker, or closed it. */
void
kgw_circuit_breaker_suspend(KgwHealth *health, bool suspended, int64_t now)
{
	health->suspended = suspended;
	count_time(health, now);
}

/* What kept it from being reached is over: if it is open, it is worth a probe now. */
void
kgw_circuit_breaker_hasten(KgwHealth *health, int64_t now)
{
	if (!health->open)
		return;
	health->pause = PAUSE_MIN;
	if (health->probe_at > now)
		health->probe_at = now;
}

/*
 * Microseconds since kgw_circuit_breaker_init() during which the breaker has been closed,
 * and not suspended.
 */
int64_t
kgw_circuit_breaker_closed_time(const KgwHealth *health, int64_t now)
{
	return health->closed_total + (health->counting ? now - health->closed_since : 0);
}
