/*-------------------------------------------------------------------------
 *
 * table.c
 *	  kgwebhook.queue as the worker's loop sees it.
 *
 * In place of queue_read.c, new_rows.c and settle.c: the same functions on an array.
 * A look hands on what has been committed since the last one, whole up to a limit,
 * and names what is beyond it.  Which rows have become visible by which snapshot is
 * the model's subject (test/model), not this one's.
 *
 * test/sim/table.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "queue/new_rows.h"
#include "queue/queue_read.h"
#include "settle/settle.h"

#include "sim.h"

/* Rows that a look hands on whole, as in new_rows.c. */
#define WHOLE_ROWS 4096

static SimRow **rows;			/* by number, from 1 */
static int64 row_count;
static int64 row_room;
static int64 left;				/* visible and not gone */

static int64 *fresh;			/* committed since the last look */
static int	fresh_count;
static int	fresh_room;

static const char payload[] = "{\"payment_intent_id\": \"1\", \"status\": \"success\", "
	"\"fiat_amount\": \"300.0\", \"signature\": null}";

SimRow *
sim_row(int64 id)
{
	return rows[id];
}

int64
sim_rows(void)
{
	return row_count;
}

int64
sim_table_left(void)
{
	return left;
}

static void
append(int64 **ids, int *count, int *room, int64 id)
{
	if (*count == *room)
	{
		*room = Max(*room * 2, 16);
		*ids = realloc(*ids, *room * sizeof(int64));
	}
	(*ids)[(*count)++] = id;
}

/* A row of a transaction that goes on. */
int64
sim_table_insert(SimObject *object, SimEndpoint *endpoint, int chain)
{
	static SimRandom r;
	SimRow	   *row = calloc(1, sizeof(SimRow));
	SimHost    *host = endpoint->host;

	if (row_count == 0)
		r = sim_stream("sizes");
	if (++row_count >= row_room)
	{
		row_room = Max(row_room * 2, 1024);
		rows = realloc(rows, row_room * sizeof(SimRow *));
	}
	rows[row_count] = row;
	row->id = row_count;
	row->object = object;
	row->endpoint = endpoint;
	row->chain = &object->chains[chain];
	row->size = HAS(HEAVY) && sim_chance(&r, 5) ? 300000 : 600;
	row->enqueued_at = row->next_attempt_at = sim_wall();
	append(&host->ids, &host->id_count, &host->id_room, row->id);
	append(&row->chain->ids, &row->chain->count, &row->chain->room, row->id);
	return row->id;
}

/* Its transaction has committed. */
void
sim_table_show(int64 id)
{
	SimRow	   *row = rows[id];

	sim_durable_flush();
	row->visible = row->present = true;
	row->visible_at = sim_now;
	row->acked_before = row->endpoint->acked_at;
	left++;
	sim_counts.rows++;
	append(&fresh, &fresh_count, &fresh_room, id);
}

/* A dead letter comes back, as from kg_recover(), or as from kg_redeliver(). */
void
sim_table_requeue(SimRow *row, bool recovered)
{
	SimHost    *host = row->endpoint->host;

	sim_durable_flush();
	row->present = row->requeued = true;
	row->dead = false;
	row->attempts_before = row->attempts;
	row->enqueued_at = row->next_attempt_at = sim_wall();
	row->recovered = recovered ? sim_wall() : 0;
	row->refused_at = row->not_before = row->held = 0;
	row->visible_at = sim_now;
	row->ended_at = row->refused_first = row->wish = 0;
	host->first = 0;
	row->chain->first = 0;
	left++;
	append(&fresh, &fresh_count, &fresh_room, row->id);
}

/* A row that was gone is there again. */
void
sim_table_bring_back(SimRow *row)
{
	row->endpoint->host->first = 0;
	row->chain->first = 0;
	left++;
}

/* The worker that looked is no more. */
void
sim_table_forget_reader(void)
{
	fresh_count = 0;
}

/* A row in the worker's memory: texts are the world's, and stay. */
static KgwDelivery *
make_delivery(const SimRow *row)
{
	static const char *const kinds[] = {"payment", "payout"};
	KgwDelivery *made = palloc0(sizeof(KgwDelivery));

	made->delivery_id = row->id;
	made->attempts = row->attempts;
	made->attempts_before = row->attempts_before;
	made->next_attempt_at = row->next_attempt_at;
	made->enqueued_at = row->enqueued_at;
	made->refused_at = row->refused_at;
	made->not_before = row->not_before;
	made->recovered = row->recovered;
	made->held = row->held;
	made->subscription_id = row->endpoint->subscription_id;
	made->webhook_id = "evt_1";
	made->org_id = sim_org_name(row->object->org);
	made->event = "payment.success";
	made->kind = kinds[row->object->kind];
	made->object_id = row->object->id;
	made->url = row->endpoint->url;
	made->destination = row->endpoint->host->name;
	made->payload = payload;
	made->payload_len = sizeof(payload) - 1;
	made->size = row->size;
	return made;
}

/*
 * queue_read.c
 */

void
kgw_queue_read_begin(void)
{
}

void
kgw_queue_read_end(void)
{
}

bool
kgw_queue_read_met_foreign(void)
{
	return false;
}

void
kgw_queue_read_paused(KgwDestinationTaker take, void *arg)
{
	if (sim_all_paused)
		take("*", arg);
	for (int i = 0; i < sim_hosts; i++)
		if (sim_host[i].paused)
			take(sim_host[i].name, arg);
}

/* The first of a host's rows with a number beyond "after". */
static int
find_after(SimHost *host, int64 after)
{
	int			low;
	int			high = host->id_count;

	while (host->first < host->id_count && rows[host->ids[host->first]]->visible &&
		   !rows[host->ids[host->first]]->present)
		host->first++;
	low = host->first;
	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (host->ids[middle] <= after)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool
kgw_queue_read_destination(const char *destination, int64 after, int limit, KgwRowTaker take, void *arg)
{
	SimHost    *host = sim_world_host(destination);
	int			count = 0;

	for (int i = find_after(host, after); i < host->id_count && count < limit; i++)
	{
		const SimRow *row = rows[host->ids[i]];

		if (!row->present)
			continue;
		count++;
		if (!take(make_delivery(row), arg))
			return true;
	}
	return count == limit;
}

bool
kgw_queue_read_ids(const int64 *ids, int count, KgwRowTaker take, void *arg)
{
	for (int i = 0; i < count; i++)
		if (rows[ids[i]]->present && !take(make_delivery(rows[ids[i]]), arg))
			return false;
	return true;
}

/*
 * new_rows.c
 */

void
kgw_new_rows_start(KgwArrivals *arrivals, KgwDestinationTaker take, void *arg)
{
	fresh_count = 0;
	for (int i = 0; i < sim_hosts; i++)
		if (find_after(&sim_host[i], 0) < sim_host[i].id_count)
			take(sim_host[i].name, arg);
}

void
kgw_new_rows_read(KgwArrivals *arrivals, KgwRowTaker take, KgwOverflowTaker overflow, void *arg)
{
	int			whole = Min(fresh_count, WHOLE_ROWS);

	for (int i = 0; i < whole; i++)
		if (rows[fresh[i]]->present)
			take(make_delivery(rows[fresh[i]]), arg);
	for (int i = whole; i < fresh_count; i++)
		if (rows[fresh[i]]->present)
			overflow(rows[fresh[i]]->endpoint->host->name, fresh[i], arg);
	fresh_count = 0;
}

bool
kgw_new_rows_unended(const KgwArrivals *arrivals)
{
	return false;
}

bool
kgw_new_rows_ended_unseen(const KgwArrivals *arrivals)
{
	return false;
}

/*
 * settle.c
 */

void
kgw_settle_mark_locked(KgwSettlement *settlements, int count)
{
	for (int i = 0; i < count; i++)
		settlements[i].locked = sim_row_is_locked();
}

void
kgw_settle(KgwSettlement *settlements, int count)
{
	for (int i = 0; i < count; i++)
	{
		const KgwSettlement *s = &settlements[i];
		SimRow	   *row = rows[s->row->delivery_id];

		if (s->locked)
			continue;
		sim_durable_note(row);
		sim_oracle_settled(row, s);
		row->attempts = s->attempt->number;
		if (s->fate != KGW_FATE_RETRY)
		{
			row->present = false;
			row->dead = s->fate == KGW_FATE_DEAD && !row->challenge;
			left--;
			if (row->challenge)
				sim_consent_settled(row, s->attempt->outcome == KGW_ACKNOWLEDGED);
			continue;
		}
		row->attempts_before += s->undone;
		row->next_attempt_at = s->next_attempt_at;
		row->refused_at = s->refused_at;
		row->held = s->held;
		row->not_before = s->not_before;
	}
}
