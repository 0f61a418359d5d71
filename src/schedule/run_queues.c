/*-------------------------------------------------------------------------
 *
 * run_queues.c
 *	  The lines that destinations stand in (design B3).
 *
 * A destination is the unit of fairness.  Whatever happens to one of its
 * deliveries or to its health, kgw_run_queues_place() puts it into the lines it
 * belongs to now: those who can send, those who want a page of the table, those
 * who wait for their next probe.  Everyone who changes a destination calls it,
 * and nobody else moves one from line to line.
 *
 * A request holds a slot until its timeout, if its receiver wants that: it may
 * hang, or acknowledge and let the body trickle.  So slots are shared out:
 *
 *	- those that have not lately acknowledged anything, or were slow about it, get
 *	  half of them at most, all together;
 *	- a quarter is for those that have nothing in flight and aren't known as slow,
 *	  so that each gets on even when many that were prompt turn slow at the same
 *	  moment, with full windows.  Half of that quarter is out of reach of those
 *	  that have yet to acknowledge something, and they have the other half before
 *	  those that are slow.
 *
 * src/schedule/run_queues.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pg/guc.h"
#include "schedule/scheduler_internal.h"

/* Whether it may have one more entry. */
bool
kgw_run_queues_has_entries(const KgwScheduler *s, const KgwDestination *d)
{
	return d->entries < DESTINATION_ENTRIES_SHARE ||
		(d->entries < DESTINATION_ENTRIES && hash_get_num_entries(s->entries) < ENTRIES_ALL);
}

/* Bytes of a row, where a destination has none that would tell. */
#define ROW_GUESS 1024

/* Bytes of a row beyond which a part of memory would be too few rows. */
#define LARGE_ROW 4096

/* Of what is free, a destination may have this part. */
#define FREE_PART 8

static Size
average_row(const KgwDestination *d)
{
	return d->rows > 0 ? Max(d->row_bytes / d->rows, 1) : ROW_GUESS;
}

/* Bytes of rows that are yet to be sent or answered; others are being written down. */
static Size
unsettled_bytes(const KgwDestination *d)
{
	return average_row(d) * (d->rows - d->settling);
}

/*
 * Bytes that a destination may have of these.  A part of what is free, and not a part of all: so
 * one alone has plenty, and hundreds come to the same share each, in whatever order they came.
 * Otherwise a few would send through full windows, by connections that are not needed when it is
 * the others' turn.
 */
static Size
fair_bytes(const KgwScheduler *s)
{
	return s->row_bytes < s->row_room ? (s->row_room - s->row_bytes) / FREE_PART : 0;
}

/*
 * Whether it may have one more row, of "rows" at most that are yet to be sent or answered: others
 * are read while those that were answered are written down.  Bytes are counted and not
 * rows: all destinations share what memory there is, and when that is taken, each
 * may still have a few small rows, or one, however large.  Large rows have what is free, and
 * no part of it: a few that one endpoint does not answer would fill that, and nothing would be
 * read for its host's other endpoints until they have timed out.
 */
bool
kgw_run_queues_has_memory(const KgwScheduler *s, const KgwDestination *d, int rows)
{
	if (d->rows == 0 ||
		(d->rows < DESTINATION_SHARE && d->row_bytes < DESTINATION_SHARE_BYTES))
		return true;
	if (d->rows - d->settling >= rows)
		return false;
	if (average_row(d) > LARGE_ROW)
		return s->row_bytes < s->row_room;
	return unsettled_bytes(d) < fair_bytes(s) * rows / DESTINATION_ROWS;
}

/* How many rows to read at once, of "most": about those that it may have. */
int
kgw_run_queues_page_rows(const KgwScheduler *s, const KgwDestination *d, int most)
{
	Size		has = unsettled_bytes(d);
	Size		fair = fair_bytes(s);
	Size		rows = fair > has ? (fair - has) / average_row(d) : 0;

	return (int) Min(Max(rows, (Size) DESTINATION_SHARE), (Size) most);
}

static bool
wants_page(const KgwScheduler *s, KgwDestination *d)
{
	if (!d->more || d->paused)
		return false;
	/* what it was stuck at may not have acknowledged lately any more, and is set aside */
	if (kgw_run_queues_has_entries(s, d) || s->now - d->stuck_at >= KGW_LATELY)
		d->stuck = false;
	else if (d->stuck || d->health.open)
		return false;
	if (d->health.open)
		return d->in_flight == 0 && d->rows == 0 && d->ripe == 0 &&
			kgw_circuit_breaker_probe_due(&d->health, s->now);
	return kgw_run_queues_has_memory(s, d, DESTINATION_LOW);
}

/* Whether a destination waits for the time of its next probe. */
static bool
waits_for_probe(const KgwScheduler *s, KgwDestination *d)
{
	return d->health.open && !kgw_circuit_breaker_probe_due(&d->health, s->now) &&
		(d->more || d->entries > 0);
}

static void
enlist(dlist_head *list, dlist_node *node, bool *listed, bool wanted)
{
	if (wanted && !*listed)
		dlist_push_tail(list, node);
	else if (!wanted && *listed)
		dlist_delete(node);
	*listed = wanted;
}

/*
 * Requests to what has not lately acknowledged anything may each take until their
 * timeout, and so may those to what took long about it: an answer whose body
 * trickles is an acknowledgement as good as any, and holds its slot all the while.
 * So these stand in lines of their own, and those that are known to fail or to be
 * slow behind those of which nothing is known: a crowd of receivers that never
 * acknowledge doesn't fill the newcomers' slots.
 */
static KgwLine
line_of(const KgwDestination *d, const KgwEndpoint *e)
{
	KgwTrust	trust = kgw_endpoint_trust(e);
	bool		suspect = trust == KGW_TRUST_FAILING || e->slow || d->health.failures > 0;

	if (trust == KGW_TRUST_PROVEN && !suspect)
		return d->in_flight > 0 ? KGW_LINE_PROVEN_BUSY : KGW_LINE_PROVEN;
	return d->in_flight > 0 || suspect ? KGW_LINE_UNPROVEN_BUSY : KGW_LINE_UNPROVEN;
}

/*
 * A destination stands in two lines if it has to: what is proven there must not wait until
 * there is a slot for what isn't, for which it may be far back in a line.
 */
static void
place_to_run(KgwScheduler *s, KgwStand *stand)
{
	KgwDestination *d = stand->destination;
	const KgwEndpoint *e = d->paused ? NULL : kgw_endpoint_candidate(s, stand);
	KgwLine		line = e != NULL ? line_of(d, e) : stand->line;

	if (stand->running && stand->line != line)
	{
		dlist_delete(&stand->node);
		stand->running = false;
	}
	stand->line = line;
	enlist(&s->lines[line], &stand->node, &stand->running, e != NULL);
}

/*
 * Slots that are kept for destinations with nothing in flight.  What has been
 * prompt may turn slow in a moment, with its whole window full, and so may many at
 * once; each of the others still has a slot.  One alone may have its cap.
 */
static int
reserve(const KgwScheduler *s)
{
	return Min(s->limit / 4, Max(s->limit - kgw_settings.max_in_flight_per_destination, 0));
}

/* Whether the first of a line may send now. */
static bool
has_turn(KgwScheduler *s, KgwLine line)
{
	bool		busy = line == KGW_LINE_PROVEN_BUSY || line == KGW_LINE_UNPROVEN_BUSY;
	bool		unproven = line == KGW_LINE_UNPROVEN || line == KGW_LINE_UNPROVEN_BUSY;
	int			kept = busy ? reserve(s) : unproven ? reserve(s) / 2 : 0;

	if (dlist_is_empty(&s->lines[line]) || s->in_flight >= s->limit - kept)
		return false;
	if (!unproven)
		return true;
	kept = busy ? reserve(s) / 2 : 0;
	return s->unproven_in_flight + s->hanging < Max(s->limit / 2 - kept, 1);
}

/* Whether kgw_run_queues_take() has one to return. */
bool
kgw_run_queues_can_send(KgwScheduler *s)
{
	for (int line = 0; line < LINES; line++)
	{
		if (has_turn(s, line))
			return true;
	}
	return false;
}

/*
 * The destination whose turn it is, out of its line; there has to be one.  Proven
 * and unproven ones take turns; of each, those with nothing in flight go first.
 */
KgwStand *
kgw_run_queues_take(KgwScheduler *s)
{
	static const KgwLine orders[2][LINES] = {
		{KGW_LINE_PROVEN, KGW_LINE_PROVEN_BUSY, KGW_LINE_UNPROVEN, KGW_LINE_UNPROVEN_BUSY},
		{KGW_LINE_UNPROVEN, KGW_LINE_UNPROVEN_BUSY, KGW_LINE_PROVEN, KGW_LINE_PROVEN_BUSY}
	};
	const KgwLine *line = orders[s->unproven_next];
	KgwStand   *stand;

	while (!has_turn(s, *line))
		line++;
	s->unproven_next = *line < KGW_LINE_UNPROVEN;
	stand = dlist_container(KgwStand, node, dlist_pop_head_node(&s->lines[*line]));
	stand->running = false;
	return stand;
}

/*
 * Put a destination into, or out of, the lines it belongs to now, and note that
 * it has changed.
 */
void
kgw_run_queues_place(KgwScheduler *s, KgwDestination *d)
{
	bool		awaits = waits_for_probe(s, d);

	for (size_t i = 0; i < lengthof(d->stands); i++)
		place_to_run(s, &d->stands[i]);
	enlist(&s->paging, &d->page_node, &d->paging, wants_page(s, d));
	if (awaits && !d->awaiting_probe)
		pairingheap_add(s->probes, &d->probe_node);
	else if (!awaits && d->awaiting_probe)
		pairingheap_remove(s->probes, &d->probe_node);
	d->awaiting_probe = awaits;
	if (!d->changed)
		dlist_push_tail(&s->changed, &d->changed_node);
	d->changed = true;
}
