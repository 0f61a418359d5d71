/*-------------------------------------------------------------------------
 *
 * test/unit/test_health.c
 *	  The window and the breaker of an endpoint or a destination, over days that pass in no
 *	  time.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/circuit_breaker.h"

#include "tap.h"

#define MS INT64_C(1000)
#define SECOND (1000 * MS)
#define HOUR (3600 * SECOND)

/* Larger than any window that a test reaches. */
#define NO_CAP 1000000

/* A monotonic clock needn't begin at 0. */
#define START (17 * HOUR)

static KgwHealth
fresh(int64_t now)
{
	KgwHealth	health;

	kgw_circuit_breaker_init(&health, KGW_WINDOW_ENDPOINT, now);
	return health;
}

static void
note_many(KgwHealth *health, KgwSign sign, int count, int64_t now)
{
	for (int i = 0; i < count; i++)
		kgw_circuit_breaker_note(health, sign, 1, now);
}

/* One whose breaker has just opened. */
static KgwHealth
opened(int64_t now)
{
	KgwHealth	health = fresh(now);

	note_many(&health, KGW_SIGN_DOWN, KGW_HEALTH_SUSPECTS, now);
	return health;
}

static void
test_window_opens(void)
{
	KgwHealth	health = fresh(START);
	int			first = kgw_circuit_breaker_limit(&health, NO_CAP, START);
	int			by_one = 0;

	ok(first >= 1, "an unknown destination is asked a little");
	ok(first <= 32, "and not much");
	ok(!health.open, "its breaker is closed");
	for (int i = 1; i <= 100; i++)
	{
		kgw_circuit_breaker_note(&health, KGW_SIGN_SUCCESS, i, START);
		if (kgw_circuit_breaker_limit(&health, NO_CAP, START) == first + i)
			by_one++;
	}
	is_int(by_one, 100, "each success opens the window by one");
	is_int(kgw_circuit_breaker_limit(&health, 32, START), 32, "the cap holds");
	is_int(kgw_circuit_breaker_limit(&health, 1, START), 1, "the smallest cap, too");

	note_many(&health, KGW_SIGN_SUCCESS, 1000000, START);
	is_int(kgw_circuit_breaker_limit(&health, 10000, START), 10000,
		   "after a million successes the greatest setting is reached");
	note_many(&health, KGW_SIGN_FAILED, 1, START);
	ok(kgw_circuit_breaker_limit(&health, 10000, START) < 10000,
	   "but the window isn't so wide that a failure can't be felt");
}

static void
test_window_halves(void)
{
	KgwHealth	health = fresh(START);
	int			before;

	note_many(&health, KGW_SIGN_SUCCESS, 100, START);
	before = kgw_circuit_breaker_limit(&health, NO_CAP, START);
	note_many(&health, KGW_SIGN_FAILED, 1, START);
	is_int(kgw_circuit_breaker_limit(&health, NO_CAP, START), before / 2, "a failure halves it");
	note_many(&health, KGW_SIGN_FAILED, 1, START);
	is_int(kgw_circuit_breaker_limit(&health, NO_CAP, START), before / 4, "another halves it again");

	before = kgw_circuit_breaker_limit(&health, NO_CAP, START);
	note_many(&health, KGW_SIGN_REFUSED, 3, START);
	is_int(kgw_circuit_breaker_limit(&health, NO_CAP, START), before,
		   "one that works but refuses something keeps its window");
	note_many(&health, KGW_SIGN_NONE, 3, START);
	is_int(kgw_circuit_breaker_limit(&health, NO_CAP, START), before,
		   "what was never sent says nothing");

	note_many(&health, KGW_SIGN_FAILED, 50, START);
	ok(!health.open, "one object fails 52 times");
	is_int(kgw_circuit_breaker_limit(&health, NO_CAP, START), 1, "the window stays at one");
	note_many(&health, KGW_SIGN_SUCCESS, 1, START);
	is_int(kgw_circuit_breaker_limit(&health, NO_CAP, START), 2, "from which it opens again");
}

static void
test_suspects(void)
{
	KgwHealth	health = fresh(START);

	note_many(&health, KGW_SIGN_FAILED, 100, START);
	ok(!health.open, "one object that fails 100 times is a poison row");
	is_int(health.failures, 100, "all of which are counted");

	for (uint64_t object = 2; object < KGW_HEALTH_SUSPECTS; object++)
		kgw_circuit_breaker_note(&health, KGW_SIGN_FAILED, object, START);
	note_many(&health, KGW_SIGN_FAILED, 100, START);
	ok(!health.open, "so are a few");
	kgw_circuit_breaker_note(&health, KGW_SIGN_SUCCESS, 99, START);
	is_int(health.failures, 0, "a success forgets failures");
	kgw_circuit_breaker_note(&health, KGW_SIGN_FAILED, 100, START);
	ok(!health.open, "and suspects");

	for (uint64_t object = 101; object < 100 + KGW_HEALTH_SUSPECTS; object++)
		kgw_circuit_breaker_note(&health, KGW_SIGN_FAILED, object, START);
	ok(health.open, "%d objects in a row: it is the endpoint", KGW_HEALTH_SUSPECTS);
	is_int(health.failures, KGW_HEALTH_SUSPECTS, "after as many failures");

	health = fresh(START);
	note_many(&health, KGW_SIGN_NONE, 100, START);
	ok(!health.open, "what was never sent opens nothing");
}

/* What is refused for what it says is about that delivery alone. */
static void
test_refused(void)
{
	KgwHealth	health = fresh(START);

	for (uint64_t object = 1; object <= 100; object++)
		kgw_circuit_breaker_note(&health, KGW_SIGN_REFUSED, object, START);
	ok(!health.open, "100 objects refused one after the other: nobody is failing");
	is_int(health.failures, 0, "and nothing is counted");

	for (uint64_t object = 1; object < KGW_HEALTH_SUSPECTS; object++)
		kgw_circuit_breaker_note(&health, KGW_SIGN_FAILED, object, START);
	note_many(&health, KGW_SIGN_REFUSED, 1, START);
	kgw_circuit_breaker_note(&health, KGW_SIGN_FAILED, KGW_HEALTH_SUSPECTS, START);
	ok(health.open, "nor does it clear those that fail");
	note_many(&health, KGW_SIGN_REFUSED, 1, START + HOUR);
	ok(!health.open, "but a probe that is read and refused closes the breaker");
}

static void
test_unreachable(void)
{
	KgwHealth	health = fresh(START);

	note_many(&health, KGW_SIGN_DOWN, KGW_HEALTH_SUSPECTS - 1, START);
	ok(!health.open, "unreachable %d times: not yet", KGW_HEALTH_SUSPECTS - 1);
	note_many(&health, KGW_SIGN_DOWN, 1, START);
	ok(health.open, "%d times, by one object alone: it is down", KGW_HEALTH_SUSPECTS);

	health = fresh(START);
	for (int i = 0; i < 100; i++)
	{
		note_many(&health, KGW_SIGN_DOWN, KGW_HEALTH_SUSPECTS - 1, START);
		note_many(&health, KGW_SIGN_SUCCESS, 1, START);
	}
	ok(!health.open, "but not if it answers in between");
}

/* The limit just before the next probe, and at its time. */
static void
is_probe_at(const KgwHealth *health, int64_t at, const char *when)
{
	is_int(kgw_circuit_breaker_limit(health, 32, at - 1), 0, "nothing before %s", when);
	ok(!kgw_circuit_breaker_probe_due(health, at - 1), "no probe is due");
	is_int(kgw_circuit_breaker_limit(health, 32, at), 1, "one at %s", when);
	ok(kgw_circuit_breaker_probe_due(health, at), "a probe is due");
	is_int(kgw_circuit_breaker_limit(health, 32, at + 240 * HOUR), 1, "still one, days later");
}

static void
test_probes(void)
{
	static const int64_t pauses[] = {
		500 * MS, 1 * SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND, 16 * SECOND,
		32 * SECOND, 60 * SECOND, 60 * SECOND, 60 * SECOND
	};
	int64_t		now = START;
	KgwHealth	health = opened(now);

	for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++)
	{
		char		when[64];

		snprintf(when, sizeof(when), "%lld ms", (long long) (pauses[i] / MS));
		now += pauses[i];
		is_probe_at(&health, now, when);
		kgw_circuit_breaker_note(&health, i % 2 ? KGW_SIGN_DOWN : KGW_SIGN_FAILED, i, now);
		ok(health.open, "a probe that fails leaves it open");
	}

	/* a probe that takes its time: the pause begins at its end */
	now += 60 * SECOND + 15 * SECOND;
	note_many(&health, KGW_SIGN_FAILED, 1, now);
	is_probe_at(&health, now + 60 * SECOND, "a pause from the end of a slow probe");
	is_int(health.failures, KGW_HEALTH_SUSPECTS + 11, "all failures are counted");
}

static void
test_stragglers(void)
{
	KgwHealth	health = opened(START);

	note_many(&health, KGW_SIGN_DOWN, 200, START + 499 * MS);
	is_probe_at(&health, START + 500 * MS, "500 ms, whatever was in flight when it opened");
	note_many(&health, KGW_SIGN_NONE, 1, START + 500 * MS);
	is_probe_at(&health, START + 500 * MS, "500 ms, when nothing was sent after all");
}

static void
test_recovery(void)
{
	KgwHealth	health = opened(START);
	int64_t		now = START + HOUR;

	note_many(&health, KGW_SIGN_DOWN, 1, START + 500 * MS);
	note_many(&health, KGW_SIGN_SUCCESS, 1, now);
	ok(!health.open, "a probe that succeeds closes it");
	ok(!kgw_circuit_breaker_probe_due(&health, now), "no probe is due any more");
	is_int(health.failures, 0, "the failures are over");
	is_int(kgw_circuit_breaker_limit(&health, 32, now), 1, "it is asked for one");
	note_many(&health, KGW_SIGN_SUCCESS, 1, now);
	is_int(kgw_circuit_breaker_limit(&health, 32, now), 2, "then for two");
	note_many(&health, KGW_SIGN_SUCCESS, 29, now);
	is_int(kgw_circuit_breaker_limit(&health, 32, now), 31, "and so on");

	note_many(&health, KGW_SIGN_DOWN, KGW_HEALTH_SUSPECTS - 1, now);
	ok(!health.open, "it takes as much as before to open it");
	note_many(&health, KGW_SIGN_DOWN, 1, now);
	is_probe_at(&health, now + 500 * MS, "500 ms: the pauses begin again");

	/* however wide the window was */
	health = fresh(now);
	note_many(&health, KGW_SIGN_SUCCESS, 100, now);
	for (uint64_t object = 1; object <= KGW_HEALTH_SUSPECTS; object++)
		kgw_circuit_breaker_note(&health, KGW_SIGN_FAILED, object, now);
	ok(health.open, "one that fails everything is failing");
	note_many(&health, KGW_SIGN_SUCCESS, 1, now + SECOND);
	is_int(kgw_circuit_breaker_limit(&health, 32, now + SECOND), 1, "and comes back with one, too");

	/* an answer that comes late is an answer */
	health = opened(now);
	note_many(&health, KGW_SIGN_SUCCESS, 1, now + 1);
	ok(!health.open, "the success of one that was in flight closes it, too");
}

static void
test_closed_time(void)
{
	KgwHealth	health = fresh(START);

	is_int(kgw_circuit_breaker_closed_time(&health, START), 0, "closed for no time yet");
	is_int(kgw_circuit_breaker_closed_time(&health, START + 10 * SECOND), 10 * SECOND,
		   "it passes while all is healthy");
	note_many(&health, KGW_SIGN_DOWN, KGW_HEALTH_SUSPECTS, START + 10 * SECOND);
	is_int(kgw_circuit_breaker_closed_time(&health, START + 96 * HOUR), 10 * SECOND,
		   "it stands still while the breaker is open");
	note_many(&health, KGW_SIGN_DOWN, 1, START + 50 * HOUR);
	is_int(kgw_circuit_breaker_closed_time(&health, START + 96 * HOUR), 10 * SECOND,
		   "whatever the probes do");
	note_many(&health, KGW_SIGN_SUCCESS, 1, START + 96 * HOUR);
	is_int(kgw_circuit_breaker_closed_time(&health, START + 96 * HOUR), 10 * SECOND,
		   "four days later it is closed again");
	is_int(kgw_circuit_breaker_closed_time(&health, START + 97 * HOUR), HOUR + 10 * SECOND,
		   "and time goes on from there");
	note_many(&health, KGW_SIGN_SUCCESS, 1, START + 97 * HOUR);
	is_int(kgw_circuit_breaker_closed_time(&health, START + 97 * HOUR), HOUR + 10 * SECOND,
		   "a success while it is closed changes nothing");
	note_many(&health, KGW_SIGN_DOWN, KGW_HEALTH_SUSPECTS, START + 98 * HOUR);
	is_int(kgw_circuit_breaker_closed_time(&health, START + 200 * HOUR), 2 * HOUR + 10 * SECOND,
		   "the next outage doesn't count either");
}

/* An endpoint can't be tried while its destination can't be reached. */
static void
test_suspended(void)
{
	KgwHealth	health = fresh(START);

	kgw_circuit_breaker_suspend(&health, true, START + 10 * SECOND);
	is_int(kgw_circuit_breaker_closed_time(&health, START + HOUR), 10 * SECOND,
		   "time stands still while it is suspended");
	ok(!health.open, "which opens nothing");
	for (uint64_t object = 1; object <= KGW_HEALTH_SUSPECTS; object++)
		kgw_circuit_breaker_note(&health, KGW_SIGN_FAILED, object, START + HOUR);
	kgw_circuit_breaker_suspend(&health, false, START + 2 * HOUR);
	is_int(kgw_circuit_breaker_closed_time(&health, START + 3 * HOUR), 10 * SECOND,
		   "and goes on standing still while the breaker is open");
	kgw_circuit_breaker_suspend(&health, true, START + 4 * HOUR);
	note_many(&health, KGW_SIGN_SUCCESS, 1, START + 5 * HOUR);
	is_int(kgw_circuit_breaker_closed_time(&health, START + 6 * HOUR), 10 * SECOND,
		   "closed but suspended is not enough");
	kgw_circuit_breaker_suspend(&health, false, START + 6 * HOUR);
	kgw_circuit_breaker_suspend(&health, false, START + 7 * HOUR);
	is_int(kgw_circuit_breaker_closed_time(&health, START + 8 * HOUR), 2 * HOUR + 10 * SECOND,
		   "neither: it goes on");
}

static void
test_hastened(void)
{
	int64_t		now = START;
	KgwHealth	health = opened(now);

	for (int i = 0; i < 10; i++)
	{
		now = health.probe_at;
		note_many(&health, KGW_SIGN_DOWN, 1, now);
	}
	kgw_circuit_breaker_hasten(&health, now + SECOND);
	is_probe_at(&health, now + SECOND, "once, instead of a minute later");
	note_many(&health, KGW_SIGN_FAILED, 1, now + SECOND);
	is_probe_at(&health, now + 2 * SECOND, "with the pauses beginning again");

	health = fresh(START);
	kgw_circuit_breaker_hasten(&health, START);
	is_int(kgw_circuit_breaker_limit(&health, 32, START), KGW_WINDOW_ENDPOINT,
		   "one that is closed stays as it is");
}

int
main(void)
{
	test_window_opens();
	test_window_halves();
	test_suspects();
	test_refused();
	test_unreachable();
	test_probes();
	test_stragglers();
	test_recovery();
	test_closed_time();
	test_suspended();
	test_hastened();
	return done_testing();
}
