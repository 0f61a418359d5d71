/*-------------------------------------------------------------------------
 *
 * world.c
 *	  Who is there: hosts, endpoints, organizations, objects.
 *
 * Made from the scenario's seed.  It has in it what was once mistaken for something
 * else: equal identifiers in several organizations and kinds, the same URL for
 * several organizations (never twice for one: that is one endpoint), endpoints that
 * fail beside ones that work at one host, subscriptions whose URL is that of objects, too.
 *
 * test/sim/world.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sim.h"

SimHost    *sim_host;
int			sim_hosts;
SimObject  *sim_object;
int			sim_objects;
int			sim_orgs;
bool		sim_healed;
bool		sim_all_paused;

static SimEndpoint *endpoints;
static int	endpoint_count;
static SimEndpoint **subscribers;	/* by organization, or NULL */
static char (*org_names)[32];

const char *
sim_org_name(int org)
{
	return org_names[org];
}

int
sim_org_by_name(const char *name)
{
	return atoi(name + strlen("org"));
}

/* The last organization gets its secret when the world heals. */
bool
sim_org_has_key(int org)
{
	return !HAS(KEYLESS) || sim_healed || org != sim_orgs - 1;
}

SimEndpoint *
sim_subscriber(int org)
{
	return subscribers[org];
}

SimHost *
sim_world_host(const char *name)
{
	int			n = atoi(name + strlen("https://host"));

	return &sim_host[n];
}

static KgwTicks
some_period(SimRandom *r)
{
	static const KgwTicks periods[] = {2 * SECOND, 20 * SECOND, 3 * MINUTE, 30 * MINUTE, 5 * HOUR};

	return periods[sim_below(r, lengthof(periods))];
}

static void
make_host(SimRandom *r, int n)
{
	SimHost    *host = &sim_host[n];

	snprintf(host->name, sizeof(host->name), "https://host%d.example:443", n);
	host->slow_to_fail = sim_chance(r, 30);
	if (HAS(DOWN) && sim_chance(r, 25))
	{
		if (HAS(FLAPPING) && sim_chance(r, 60))
			host->period = some_period(r);
		else
			host->down = true;
	}
	host->pausable = HAS(PAUSES) && sim_chance(r, 10);
}

/* Half of the endpoints are good. */
static SimKind
some_kind(SimRandom *r)
{
	SimKind		kind = 1 + sim_below(r, SIM_IS_GONE);

	if (sim_chance(r, 50))
		return SIM_GOOD;
	if ((kind == SIM_IS_SLOW && HAS(SLOW)) || (kind == SIM_IS_SILENT && HAS(SILENT)) ||
		(kind == SIM_IS_FAILING && HAS(FAILING)) || (kind == SIM_IS_REFUSING && HAS(REFUSING)) ||
		(kind == SIM_IS_RATING && HAS(RATING)) || (kind == SIM_IS_DROPPING && HAS(DROPPING)) ||
		(kind == SIM_IS_GONE && HAS(GONE)))
		return kind;
	return SIM_GOOD;
}

static SimEndpoint *
make_endpoint(SimRandom *r, SimHost *host, int org, int n, int64 subscription_id)
{
	SimEndpoint *e = &endpoints[endpoint_count++];

	e->host = host;
	e->org = org;
	e->subscription_id = subscription_id;
	snprintf(e->url, sizeof(e->url), "https://host%d.example/hook/%d", (int) (host - sim_host), n);
	e->kind = some_kind(r);
	if (e->kind != SIM_GOOD && HAS(FLAPPING) && sim_chance(r, 40))
		e->period = some_period(r);
	e->good = e->kind == SIM_GOOD && !host->down && host->period == 0 && !host->pausable &&
		(!HAS(KEYLESS) || org != sim_orgs - 1);
	return e;
}

/*
 * Objects' numbers begin again in each organization and kind, so nearly all have
 * namesakes.
 */
static void
make_objects(SimRandom *r)
{
	int			own_count = endpoint_count;
	int			(*numbers)[2] = calloc(sim_orgs, sizeof(*numbers));

	sim_object = calloc(sim_objects, sizeof(SimObject));
	for (int i = 0; i < sim_objects; i++)
	{
		SimObject  *object = &sim_object[i];

		object->own = &endpoints[i < own_count ? i : sim_below(r, own_count)];
		object->org = object->own->org;
		object->kind = i % 2;
		snprintf(object->id, sizeof(object->id), "%d", numbers[object->org][object->kind]++);
	}
	free(numbers);
}

/* Half of the subscriptions are for a URL that is objects' own: one receiver listens there. */
static void
share_url(SimRandom *r, SimEndpoint *subscriber, int own_count)
{
	int			from = sim_below(r, own_count);

	for (int i = 0; i < own_count; i++)
	{
		const SimEndpoint *own = &endpoints[(from + i) % own_count];

		if (own->org != subscriber->org)
			continue;
		subscriber->shared = true;
		subscriber->host = own->host;
		strlcpy(subscriber->url, own->url, sizeof(subscriber->url));
		subscriber->kind = own->kind;
		subscriber->period = own->period;
		subscriber->good = own->good;
		return;
	}
}

/* What it is sent may take long, and so may what its organization's objects send there. */
static void
make_late(const SimEndpoint *limited)
{
	for (int i = 0; i < endpoint_count; i++)
		if (endpoints[i].org == limited->org && strcmp(endpoints[i].url, limited->url) == 0)
			endpoints[i].good = false;
}

static void
make_subscribers(SimRandom *r)
{
	int			own_count = endpoint_count;
	SimRandom	shares = sim_stream("shares");
	SimRandom	limits = sim_stream("limits");

	for (int i = 0; i < sim_orgs; i++)
	{
		if (!sim_chance(r, 50))
			continue;
		subscribers[i] = make_endpoint(r, &sim_host[sim_below(r, sim_hosts)], i, 90 + i, 1 + i);
		if (sim_chance(&shares, 50))
			share_url(&shares, subscribers[i], own_count);
		if (!HAS(LIMITED) || sim_chance(&limits, 30))
			continue;
		subscribers[i]->gap = sim_chance(&limits, 50) ? 100 + sim_below(&limits, 200000) : SECOND / 10 * sim_below(&limits, 50) + 1;
		make_late(subscribers[i]);
	}
}

/* How many endpoints may have a request wait for its timeout. */
int
sim_world_silent(void)
{
	int			count = 0;

	for (int i = 0; i < endpoint_count; i++)
	{
		const SimHost *host = endpoints[i].host;

		count += endpoints[i].kind == SIM_IS_SILENT || (host->slow_to_fail && (host->down || host->period != 0));
	}
	return count;
}

void
sim_world_make(void)
{
	SimRandom	r = sim_stream("world");
	int			made = 0;

	sim_hosts = sim_scenario.destinations;
	sim_objects = sim_scenario.objects;
	sim_orgs = 2 + sim_below(&r, 6);
	sim_host = calloc(sim_hosts, sizeof(SimHost));
	org_names = calloc(sim_orgs, sizeof(*org_names));
	subscribers = calloc(sim_orgs, sizeof(SimEndpoint *));
	endpoints = calloc(sim_hosts * sim_scenario.endpoints + sim_orgs, sizeof(SimEndpoint));
	for (int i = 0; i < sim_orgs; i++)
		snprintf(org_names[i], sizeof(org_names[i]), "org%d", i);
	for (int i = 0; i < sim_hosts; i++)
	{
		int			count = 1 + sim_below(&r, sim_scenario.endpoints);

		make_host(&r, i);
		for (int j = 0; j < count; j++)
			make_endpoint(&r, &sim_host[i], made++ % sim_orgs, count <= sim_orgs && sim_chance(&r, 25) ? 0 : j, 0);
	}
	make_objects(&r);
	if (HAS(SUBSCRIPTIONS))
		make_subscribers(&r);
}

/* How an endpoint behaves now. */
SimKind
sim_behavior(const SimEndpoint *e)
{
	if (sim_healed || (e->period != 0 && sim_now / e->period % 2 == 0))
		return SIM_GOOD;
	return e->kind;
}

/* Whether a host can't be reached now. */
bool
sim_is_down(const SimHost *host)
{
	return !sim_healed && (host->down || (host->period != 0 && sim_now / host->period % 2 == 1));
}
