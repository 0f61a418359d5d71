/*-------------------------------------------------------------------------
 *
 * traffic.c
 *	  What happens in the world, and when: transactions, faults, and their end.
 *
 * All of it is planned before the first turn, so that what the worker does changes
 * nothing of it.  When the traffic is over the world heals: every receiver
 * acknowledges, and what is still in the table then has to leave it.
 *
 * test/sim/traffic.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "shmem/changes.h"

#include "sim.h"

/* Rows of a burst. */
#define BURST_ROWS 6000

typedef enum SimEventKind
{
	EVENT_TRANSACTION,
	EVENT_BURST,
	EVENT_COMMIT,
	EVENT_RESTART,
	EVENT_JUMP,
	EVENT_TROUBLE,
	EVENT_LOCKS,
	EVENT_PAUSE,
	EVENT_RESUME,
	EVENT_REDELIVER,
	EVENT_ASK,
	EVENT_HEAL
} SimEventKind;

typedef struct SimEvent
{
	KgwTicks	when;
	int64		order;			/* of equal times */
	SimEventKind kind;
	int64		argument;
} SimEvent;

/* Rows that become visible together. */
typedef struct SimTransaction
{
	int			count;
	int64	   *ids;
	SimObject **objects;
	int			object_count;
} SimTransaction;

bool		sim_restart_wanted;

static SimEvent *events;		/* a heap */
static int	event_count;
static int	event_room;
static int64 planned;
static SimRandom source;
static SimRandom lock_source;
static KgwTicks trouble_until;
static KgwTicks locks_until;

static bool
is_before(const SimEvent *a, const SimEvent *b)
{
	return a->when != b->when ? a->when < b->when : a->order < b->order;
}

static void
plan(KgwTicks when, SimEventKind kind, int64 argument)
{
	int			at = event_count++;

	if (event_count > event_room)
	{
		event_room = Max(event_room * 2, 1024);
		events = realloc(events, event_room * sizeof(SimEvent));
	}
	events[at] = (SimEvent) {when, planned++, kind, argument};
	while (at > 0 && is_before(&events[at], &events[(at - 1) / 2]))
	{
		SimEvent	tmp = events[at];

		events[at] = events[(at - 1) / 2];
		events[(at - 1) / 2] = tmp;
		at = (at - 1) / 2;
	}
}

static SimEvent
take_event(void)
{
	SimEvent	first = events[0];
	int			at = 0;

	events[0] = events[--event_count];
	for (;;)
	{
		int			least = at;
		SimEvent	tmp;

		for (int child = 2 * at + 1; child <= 2 * at + 2; child++)
			if (child < event_count && is_before(&events[child], &events[least]))
				least = child;
		if (least == at)
			return first;
		tmp = events[at];
		events[at] = events[least];
		events[least] = tmp;
		at = least;
	}
}

/* So many faults of a kind, at any time. */
static void
plan_faults(bool wanted, SimEventKind kind, int most, KgwTicks span)
{
	SimRandom	r = sim_stream("faults");
	int			count = wanted ? 1 + sim_below(&r, most) : 0;

	r.state += kind;
	for (int i = 0; i < count; i++)
		plan(sim_now + sim_random(&r) % span, kind, sim_random(&r) >> 1);
}

void
sim_traffic_plan(void)
{
	KgwTicks	span = sim_scenario.minutes * MINUTE;
	int			transactions = sim_scenario.rows / 4;
	SimRandom	times = sim_stream("times");

	source = sim_stream("traffic");
	lock_source = sim_stream("locks");
	for (int i = 0; i < transactions; i++)
		plan(sim_now + sim_random(&times) % span, EVENT_TRANSACTION, 0);
	plan_faults(HAS(BURSTS), EVENT_BURST, 2, span);
	plan_faults(HAS(RESTARTS), EVENT_RESTART, 8, span);
	plan_faults(HAS(JUMPS), EVENT_JUMP, 4, span);
	plan_faults(HAS(TROUBLE), EVENT_TROUBLE, 6, span);
	plan_faults(HAS(LOCKS), EVENT_LOCKS, 6, span);
	plan_faults(HAS(PAUSES), EVENT_PAUSE, 8, span);
	plan_faults(HAS(REDELIVERY), EVENT_REDELIVER, 20, span);
	plan_faults(HAS(CONSENT), EVENT_ASK, 20, span);
	plan(sim_now + span, EVENT_HEAL, 0);
}

/*
 * A status change, for its own URL and for a subscription.  Where that has the same URL, an
 * event goes there once: as the object's own or, while it had another one, as the
 * subscription's.  For the oracle, both are one chain.
 */
static void
add_change(SimTransaction *tx, SimObject *object)
{
	SimEndpoint *subscriber = sim_subscriber(object->org);

	if (subscriber != NULL && strcmp(subscriber->url, object->own->url) == 0)
	{
		tx->ids[tx->count++] = sim_table_insert(object, sim_chance(&source, 50) ? subscriber : object->own, 0);
		return;
	}
	tx->ids[tx->count++] = sim_table_insert(object, object->own, 0);
	if (subscriber != NULL)
		tx->ids[tx->count++] = sim_table_insert(object, subscriber, 1);
}

static void
commit(SimTransaction *tx)
{
	for (int i = 0; i < tx->count; i++)
		sim_table_show(tx->ids[i]);
	for (int i = 0; i < tx->object_count; i++)
		tx->objects[i]->locked = false;
	sim_commits++;
	free(tx->ids);
	free(tx->objects);
	free(tx);
}

/* Changes of some objects, each once or twice, that hold these until the commit. */
static void
begin_transaction(int changes)
{
	SimTransaction *tx = calloc(1, sizeof(SimTransaction));

	tx->ids = malloc(4 * changes * sizeof(int64));
	tx->objects = malloc(changes * sizeof(SimObject *));
	for (int i = 0; i < changes; i++)
	{
		SimObject  *object = &sim_object[sim_below(&source, sim_objects)];

		if (object->locked)
			continue;
		object->locked = true;
		tx->objects[tx->object_count++] = object;
		add_change(tx, object);
		if (sim_chance(&source, 10))
			add_change(tx, object);
	}
	if (HAS(LONG) && sim_chance(&source, 5))
		plan(sim_now + sim_random(&source) % (10 * SECOND), EVENT_COMMIT, (int64) (intptr_t) tx);
	else
		commit(tx);
}

static void
jump(int64 argument)
{
	static const int64 leaps[] = {-26 * HOUR, -HOUR, -3 * SECOND, 3 * SECOND, HOUR, 50 * HOUR};

	sim_wall_offset += leaps[argument % lengthof(leaps)];
	sim_jumped_at = sim_now;
}

/* One in eight is of everything, for a while; the others are of a host. */
static void
set_pause(int64 argument, bool paused)
{
	SimHost    *host = &sim_host[argument / 8 % sim_hosts];

	if (argument % 8 == 0)
	{
		sim_all_paused = paused && !sim_healed;
		sim_oracle_disturbed();
	}
	else if (host->pausable)
		host->paused = paused && !sim_healed;
	sim_changed(KGW_CHANGED_PAUSES);
	if (paused)
		plan(sim_now + argument % (10 * MINUTE), EVENT_RESUME, argument);
}

/* Some dead letters are queued again. */
static void
redeliver(int64 argument)
{
	int64		count = sim_rows();
	int			found = 0;

	for (int64 i = 0; i < count && found < 20; i++)
	{
		SimRow	   *row = sim_row(1 + (argument + i) % count);

		if (!row->dead)
			continue;
		sim_table_requeue(row, argument % 2 == 0);
		found++;
	}
	sim_commits++;
	if (argument % 2 == 0)
		sim_changed(KGW_CHANGED_ALL);
}

/*
 * A subscription has to consent, from now on.  Not where objects have its URL as well: what was
 * queued for it before would wait, and what goes there as theirs would overtake that.
 */
static void
ask(int64 argument)
{
	SimEndpoint *subscriber = sim_subscriber(argument % sim_orgs);

	if (subscriber != NULL && !subscriber->shared)
		sim_consent_ask(subscriber);
}

static void
heal(void)
{
	sim_healed = true;
	sim_all_paused = false;
	sim_consent_ask_again();
	for (int i = 0; i < sim_hosts; i++)
		sim_host[i].paused = false;
	sim_changed(KGW_CHANGED_PAUSES);
	sim_changed(KGW_CHANGED_SECRETS);
	sim_oracle_disturbed();
}

static void
happen(const SimEvent *event)
{
	switch (event->kind)
	{
		case EVENT_TRANSACTION:
			begin_transaction(1 + sim_below(&source, 6));
			break;
		case EVENT_BURST:
			begin_transaction(Min(BURST_ROWS, sim_scenario.rows / 4));
			sim_oracle_disturbed();
			break;
		case EVENT_COMMIT:
			commit((SimTransaction *) (intptr_t) event->argument);
			break;
		case EVENT_RESTART:
			sim_restart_wanted = true;
			break;
		case EVENT_JUMP:
			jump(event->argument);
			break;
		case EVENT_TROUBLE:
			trouble_until = sim_now + SECOND / 2 + event->argument % (20 * SECOND);
			break;
		case EVENT_LOCKS:
			locks_until = sim_now + SECOND / 2 + event->argument % (20 * SECOND);
			break;
		case EVENT_PAUSE:
			set_pause(event->argument, true);
			break;
		case EVENT_RESUME:
			set_pause(event->argument, false);
			break;
		case EVENT_REDELIVER:
			redeliver(event->argument);
			break;
		case EVENT_ASK:
			ask(event->argument);
			break;
		case EVENT_HEAL:
			heal();
			break;
	}
}

/* When something happens next. */
KgwTicks
sim_traffic_next(void)
{
	return event_count > 0 ? events[0].when : KGW_NEVER;
}

/* Let happen what is due. */
void
sim_traffic_run(void)
{
	while (sim_traffic_next() <= sim_now)
	{
		SimEvent	event = take_event();

		happen(&event);
	}
}

bool
sim_traffic_over(void)
{
	return event_count == 0;
}

/* Whether the database can't be read or written now. */
bool
sim_in_trouble(void)
{
	if (trouble_until > sim_now)
		sim_oracle_disturbed();
	return trouble_until > sim_now;
}

/* Whether another session holds the next row that is asked about. */
bool
sim_row_is_locked(void)
{
	if (locks_until <= sim_now)
		return false;
	sim_oracle_disturbed();
	return sim_chance(&lock_source, 30);
}
