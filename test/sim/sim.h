/*-------------------------------------------------------------------------
 *
 * sim.h
 *	  A worker's loop in a world that is made up from a seed.
 *
 * test/sim/sim.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef SIM_H
#define SIM_H

#include "datatype/timestamp.h"
#include "lib/ilist.h"

#include "pg/clock.h"
#include "queue/delivery.h"
#include "settle/settlement.h"

#define SECOND INT64CONST(1000000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

/* What may go wrong in a world; a scenario has some of these. */
#define SIM_FAULTS(X) \
	X(RESTARTS, "restarts")			/* the worker ends and begins again */ \
	X(JUMPS, "jumps")				/* of the wall clock */ \
	X(TROUBLE, "trouble")			/* the database can't be read or written for a while */ \
	X(LOCKS, "locks")				/* another session holds rows */ \
	X(PAUSES, "pauses")				/* of destinations, or of everything */ \
	X(KEYLESS, "keyless")			/* an organization has no secret yet */ \
	X(REDELIVERY, "redelivery")		/* dead letters are queued again */ \
	X(BURSTS, "bursts")				/* thousands of rows in one commit */ \
	X(LONG, "long")					/* transactions that commit late */ \
	X(SUBSCRIPTIONS, "subscriptions") \
	X(DOWN, "down")					/* hosts that can't be reached */ \
	X(SILENT, "silent")				/* endpoints that don't answer */ \
	X(FAILING, "failing")			/* 500, 401, 404 */ \
	X(REFUSING, "refusing")			/* 422, to some objects */ \
	X(RATING, "rating")				/* 429 and 503 with Retry-After */ \
	X(FLAPPING, "flapping")			/* any of these, by turns with good times */ \
	X(SLOW, "slow")					/* answers that take seconds */ \
	X(DROPPING, "dropping")			/* kept connections that are dead */ \
	X(GONE, "gone")					/* 410 */ \
	X(HEAVY, "heavy")				/* rows of hundreds of kB */ \
	X(LIMITED, "limited")			/* subscriptions with a rate limit */ \
	X(CONSENT, "consent")			/* subscriptions that have to answer a challenge */

#define X(name, text) SIM_BIT_##name,
typedef enum SimFaultBit
{
	SIM_FAULTS(X) SIM_FAULT_COUNT
} SimFaultBit;
#undef X
#define HAS(name) ((sim_scenario.faults & (1u << SIM_BIT_##name)) != 0)

/* What a world is made from.  All of it follows from the seed, unless it is given. */
typedef struct SimScenario
{
	uint64		seed;
	int			destinations;
	int			endpoints;		/* of a destination, at most */
	int			objects;
	int			rows;
	int			minutes;		/* of traffic */
	int			in_flight;
	unsigned	faults;
} SimScenario;

/* A source of random numbers; each purpose has one, so that none disturbs another. */
typedef struct SimRandom
{
	uint64		state;
} SimRandom;

typedef enum SimKind
{
	SIM_GOOD,
	SIM_IS_SLOW,
	SIM_IS_SILENT,
	SIM_IS_FAILING,
	SIM_IS_REFUSING,
	SIM_IS_RATING,
	SIM_IS_DROPPING,
	SIM_IS_GONE
} SimKind;

typedef struct SimHost
{
	char		name[64];
	bool		down;			/* until the world heals ... */
	KgwTicks	period;			/* ... or by turns of this length, or 0 */
	bool		slow_to_fail;	/* nothing comes back, instead of a refused connection */
	bool		pausable;
	bool		paused;
	int			answers;		/* requests that reached it */
	int			in_flight;
	int64	   *ids;			/* of its rows, in order */
	int			id_count;
	int			id_room;
	int			first;			/* those before it are gone */
} SimHost;

/* The rows of an object for one receiver, in order; where two endpoints have a URL, of both. */
typedef struct SimChain
{
	int64	   *ids;
	int			count;
	int			room;
	int			first;
} SimChain;

typedef struct SimObject
{
	int			org;
	int			kind;
	char		id[16];
	struct SimEndpoint *own;
	bool		locked;			/* in a transaction that goes on */
	SimChain	chains[2];		/* its own URL's, and a subscription's */
} SimObject;

typedef struct SimEndpoint
{
	SimHost    *host;
	int			org;
	int64		subscription_id;	/* or 0 */
	char		url[128];
	SimKind		kind;
	KgwTicks	period;			/* of flapping, or 0 */
	bool		shared;			/* objects have its URL as well */
	bool		good;			/* what it is sent has to arrive in time */
	KgwTicks	acked_at;		/* 0 = never */
	int64		gap;			/* microseconds between two requests by its rate limit; 0 = it has none */
	double		level;			/* requests that its limit still has to make up for ... */
	KgwTicks	level_at;		/* ... then */
	int64		challenge;		/* the row that it has to answer before it gets anything, or 0 */
	SimObject	challenger;		/* whose row that is */
} SimEndpoint;

/* A row of the table, and what is known of its way. */
typedef struct SimRow
{
	int64		id;
	SimObject  *object;
	SimEndpoint *endpoint;
	SimChain   *chain;
	Size		size;
	bool		challenge;		/* it asks for consent */

	/* the table's */
	bool		visible;
	bool		present;
	bool		undurable;		/* and a crash undoes what was settled */
	bool		dead;
	int			attempts;
	int			attempts_before;
	TimestampTz next_attempt_at;
	TimestampTz enqueued_at;
	TimestampTz refused_at;
	TimestampTz not_before;
	TimestampTz recovered;
	int64		held;

	/* the world's */
	KgwTicks	visible_at;
	KgwTicks	acked_before;	/* when its endpoint had last acknowledged then */
	bool		requeued;
	bool		acked;			/* and that is settled */
	bool		sending;
	bool		answered_yes;	/* the last answer */
	bool		answered_no;
	bool		returned;		/* and it has what a challenge asks for */
	bool		unsettled;		/* that is not written down yet */
	int			status;
	KgwTicks	ended_at;		/* its last attempt; 0 = none since it was queued */
	KgwTicks	refused_first;	/* since when; 0 = never */
	KgwTicks	wish;			/* not before this, said the receiver */
	KgwTicks	due;			/* the schedule's, after the last attempt */
	int			answers;		/* its host's, when that ended */
} SimRow;

typedef struct SimCounts
{
	int64		rows;
	int64		requests;
	int64		acknowledged;
	int64		superseded;
	int64		dead;
	int64		retries;
	int64		turns;
	int64		restarts;
	KgwTicks	latest;			/* of what went to good endpoints */
} SimCounts;

extern SimScenario sim_scenario;
extern SimCounts sim_counts;
extern bool sim_verbose;

/* clock.c */
extern KgwTicks sim_now;
extern int64 sim_wall_offset;
extern TimestampTz sim_wall(void);
extern KgwTicks sim_jumped_at;
extern uint64 sim_random(SimRandom *r);
extern int	sim_below(SimRandom *r, int limit);
extern bool sim_chance(SimRandom *r, int percent);
extern SimRandom sim_stream(const char *purpose);
extern double sim_real_seconds(void);

/* shim_memory.c */
extern void sim_memory_begin(void);
extern void sim_memory_end(void);

/* world.c */
extern void sim_world_make(void);
extern SimHost *sim_world_host(const char *name);
extern int	sim_hosts;
extern SimHost *sim_host;
extern int	sim_objects;
extern SimObject *sim_object;
extern int	sim_orgs;
extern bool sim_org_has_key(int org);
extern const char *sim_org_name(int org);
extern int	sim_org_by_name(const char *name);
extern SimEndpoint *sim_subscriber(int org);
extern int	sim_world_silent(void);
extern bool sim_healed;
extern bool sim_all_paused;
extern SimKind sim_behavior(const SimEndpoint *e);
extern bool sim_is_down(const SimHost *host);

/* consent.c */
extern void sim_consent_ask(SimEndpoint *e);
extern void sim_consent_ask_again(void);
extern void sim_consent_settled(const SimRow *row, bool given);
extern bool sim_consent_is_missing(const SimRow *row);
extern const char *sim_consent_body(SimRow *row, SimRandom *r);

/* traffic.c */
extern void sim_traffic_plan(void);
extern KgwTicks sim_traffic_next(void);
extern void sim_traffic_run(void);
extern bool sim_traffic_over(void);
extern bool sim_in_trouble(void);
extern bool sim_row_is_locked(void);
extern bool sim_restart_wanted;

/* table.c */
extern SimRow *sim_row(int64 id);
extern int64 sim_rows(void);
extern int64 sim_table_insert(SimObject *object, SimEndpoint *endpoint, int chain);
extern void sim_table_show(int64 id);
extern void sim_table_requeue(SimRow *row, bool recovered);
extern void sim_table_forget_reader(void);
extern void sim_table_bring_back(SimRow *row);
extern int64 sim_table_left(void);

/* wire.c */
extern KgwTicks sim_wire_next(void);
extern void sim_wire_cut(void);

/* oracle.c */
extern void sim_wrong(const char *name, const char *format,...) pg_attribute_printf(2, 3);
extern void sim_durable_note(SimRow *row);
extern void sim_durable_commit(void);
extern void sim_durable_flush(void);
extern bool sim_durable_crash(void);
extern void sim_oracle_sent(SimRow *row);
extern void sim_oracle_answered(SimRow *row, bool answered, bool reached, int status,
								int64 retry_after);
extern void sim_oracle_settled(SimRow *row, const KgwSettlement *settlement);
extern void sim_oracle_disturbed(void);
extern void sim_oracle_cut(void);
extern void sim_oracle_end(void);

/* process.c */
extern void sim_process_begin(void);
extern int	sim_commits;
extern void sim_changed(int what);

#endif							/* SIM_H */
