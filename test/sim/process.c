/*-------------------------------------------------------------------------
 *
 * process.c
 *	  What a worker's loop asks of the rest of the product and of the server.
 *
 * Secrets, subscriptions, other sessions' changes, errors that pass: as small as they
 * can be while the loop still has to decide the same things.
 *
 * test/sim/process.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/twophase.h"
#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/timestamp.h"

#include "follow/follower.h"
#include "pg/database_identity.h"
#include "pg/extension.h"
#include "pg/guc.h"
#include "pg/jsonb_canonical.h"
#include "pg/transaction.h"
#include "pg/version.h"
#include "queue/replicated.h"
#include "secrets/key_file.h"
#include "secrets/can_sign.h"
#include "secrets/secret_cache.h"
#include "secrets/secret_maintenance.h"
#include "secrets/undecryptable.h"
#include "send/network/ca_file.h"
#include "send/network/egress.h"
#include "worker/fd_limit.h"
#include "settle/overtaken.h"
#include "settle/subscription_state.h"
#include "shmem/counters.h"
#include "shmem/destination_stats.h"
#include "shmem/point.h"
#include "shmem/wakeups.h"
#include "shmem/worker_slots.h"
#include "worker/error_trap.h"
#include "worker/maintenance.h"

#include "sim.h"

KgwSettings kgw_settings;
Oid			MyDatabaseId = 1;
int			max_prepared_xacts = 0;

int			sim_commits;
static uint32 changes[KGW_CHANGES];
static bool key_known[64];
static KgwKeyring keyring;
static KgwKeyring no_keyring = {.fault = "the organization has no signing secret"};
static SimRandom lock_source;

/* A process begins: nothing is known to it. */
void
sim_process_begin(void)
{
	char		problem[128];
	static KgwSchedule schedule;
	static KgwNetworks networks;
	static KgwPorts ports;

	sim_memory_begin();
	memset(key_known, 0, sizeof(key_known));
	if (kgw_settings.schedule != NULL)
		return;
	if (!kgw_retry_schedule_parse("5s,30s,2min,10min,30min,2h,5h,10h,14h,20h,24h", &schedule,
								  problem, sizeof(problem)))
		sim_wrong("set up", "%s", problem);
	ports.n = 1;
	ports.range[0].low = 1;
	ports.range[0].high = 65535;
	kgw_settings = (KgwSettings) {
		.enabled = true, .workers = 1, .max_in_flight = sim_scenario.in_flight,
		.max_in_flight_per_destination = 32, .connect_timeout = 5000,
		.request_timeout = 15000, .max_hold = 1000 * (10 + (int) (sim_scenario.seed % 300)),
		.retry_jitter = 0.2, .schedule = &schedule, .allowed_networks = &networks,
		.allowed_ports = &ports
	};
	lock_source = sim_stream("traps");
	pg_prng_seed(&pg_global_prng_state, sim_scenario.seed);
	keyring.current = kgw_signature_signer_new("whsec_sim", 9);
}

/* Another session has changed something. */
void
sim_changed(int what)
{
	changes[what]++;
}

uint32
kgw_wakeups_count(void)
{
	return sim_commits;
}

uint32
kgw_wakeups_changes(KgwChanged what)
{
	return changes[what];
}

/*
 * Errors: while there is trouble nothing can be read or written
 */

KgwTrapResult
kgw_error_trap_run(void (*act) (void *), void *arg)
{
	if (sim_in_trouble())
		return KGW_TRAP_PASSING;
	if (sim_row_is_locked() && sim_chance(&lock_source, 50))
		return KGW_TRAP_LOCKED;
	act(arg);
	return KGW_TRAP_DONE;
}

KgwTrapResult
kgw_error_trap_passing(void (*act) (void *), void *arg)
{
	if (sim_in_trouble())
		return KGW_TRAP_PASSING;
	act(arg);
	return KGW_TRAP_DONE;
}

/*
 * Secrets: the last organization has none before the world heals
 */

static const KgwKeyring *
keyring_of(const char *org_id)
{
	return sim_org_has_key(sim_org_by_name(org_id)) ? &keyring : &no_keyring;
}

const KgwKeyring *
kgw_secret_cache_known(const char *org_id, int64 subscription_id)
{
	return key_known[sim_org_by_name(org_id)] ? keyring_of(org_id) : NULL;
}

const KgwKeyring *
kgw_secret_cache_load(const char *org_id, int64 subscription_id)
{
	key_known[sim_org_by_name(org_id)] = true;
	return keyring_of(org_id);
}

List *
kgw_can_sign(const List *holders)
{
	List	   *able = NIL;
	ListCell   *lc;

	foreach(lc, holders)
	{
		KgwSecretHolder *holder = lfirst(lc);

		if (sim_org_has_key(sim_org_by_name(holder->org_id)))
			able = lappend(able, holder);
	}
	return able;
}

void
kgw_secret_cache_forget(void)
{
	memset(key_known, 0, sizeof(key_known));
}

bool
kgw_undecryptable_met(void)
{
	return false;
}

bool
kgw_secret_cache_retired(void)
{
	return false;
}

void
kgw_secret_maintenance_run(void)
{
}

KgwTicks
kgw_secret_maintenance_due(void)
{
	return KGW_NEVER;
}

bool
kgw_key_file_set(void)
{
	return false;
}

/*
 * Subscriptions: each takes what it is sent, some of them at their rate
 */

const KgwSubscriptionState *
kgw_subscription_state_known(int64 subscription_id)
{
	static KgwSubscriptionState state;

	state.subscription_id = subscription_id;
	if (subscription_id == 0)
		return NULL;
	state.gap = sim_subscriber((int) subscription_id - 1)->gap;
	state.challenge[0] = '\0';
	if (sim_subscriber((int) subscription_id - 1)->challenge != 0)
		snprintf(state.challenge, sizeof(state.challenge), INT64_FORMAT,
				 sim_subscriber((int) subscription_id - 1)->challenge);
	return &state;
}

const KgwSubscriptionState *
kgw_subscription_state_load(int64 subscription_id)
{
	return kgw_subscription_state_known(subscription_id);
}

void
kgw_subscription_state_forget(void)
{
}

bool
kgw_subscription_state_reread(void)
{
	return true;
}

/* As overtaken.c: only what kg_recover() brought back is compared. */
bool
kgw_overtaken_possible(const KgwDelivery *row, TimestampTz *since)
{
	*since = row->recovered;
	return row->recovered != 0;
}

bool
kgw_overtaken(const KgwDelivery *row, TimestampTz since)
{
	const SimChain *chain = sim_row(row->delivery_id)->chain;

	for (int i = 0; i < chain->count; i++)
		if (chain->ids[i] > row->delivery_id && sim_row(chain->ids[i])->acked)
			return true;
	return false;
}

/*
 * What is the same in every world
 */

KgwJcs *
kgw_jsonb_canonical_workspace(void)
{
	static KgwJcs *workspace;

	if (workspace == NULL)
		workspace = kgw_jcs_new();
	return workspace;
}

void
kgw_transaction_run(const char *activity, void (*act) (void *), void *arg)
{
	act(arg);
	sim_durable_commit();
}

Oid
kgw_extension_oid(void)
{
	return 1;
}

bool
kgw_extension_hold(void)
{
	return true;
}

Oid
kgw_extension_relation(const char *name)
{
	return 1;
}

char *
kgw_database_identity_foreign(void)
{
	return NULL;
}

bool
kgw_replicated_reached(void)
{
	return true;
}

int
kgw_fd_limit_for(int wanted)
{
	return wanted;
}

void
kgw_ca_file_look(void)
{
}

void
kgw_egress_look(void)
{
}

void
kgw_counters_add(KgwOutcome outcome)
{
}

void
kgw_destination_stats_post(const KgwNotice *notice)
{
}

void
kgw_follower_ensure(void)
{
}

bool
kgw_worker_slots_worker_fenced(bool fenced)
{
	return false;
}

void
kgw_version_require(void)
{
}

void
kgw_version_remind(void)
{
}

KgwMaintenance *
kgw_maintenance_new(bool drops)
{
	return NULL;
}

void
kgw_maintenance_before_log(KgwMaintenance *maintenance)
{
}

KgwTicks
kgw_maintenance_due(const KgwMaintenance *maintenance)
{
	return KGW_NEVER;
}

void
kgw_maintenance_run(KgwMaintenance *maintenance)
{
}

/*
 * The server's
 */

/* Nothing dies here but by a restart of the world's. */
void
kgw_point_reached(const char *name)
{
}

char *
get_database_name(Oid dbid)
{
	return "sim";
}

uint64
GetSystemIdentifier(void)
{
	return 1;
}

long
pgstat_report_stat(bool force)
{
	return 0;
}
