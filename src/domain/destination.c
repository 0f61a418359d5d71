/*-------------------------------------------------------------------------
 *
 * destination.c
 *	  The lines that destinations stand in (design B3).
 *
 * A destination is the unit of fairness.  Whatever happens to one of its
 * deliveries or to its health, kgw_destination_place() puts it into the lines it
 * belongs to now: those who can send, those who want a page of the table, those
 * who wait for their next probe.  Everybody who changes a destination calls it,
 * and nobody else moves one from line to line.
 *
 * src/domain/destination.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "domain/memory.h"
#include "services/settings.h"

static bool
can_run(const KgwScheduler *s, KgwDestination *d)
{
	return !dlist_is_empty(&d->ready) && !d->paused &&
		d->in_flight < kgw_health_limit(&d->health,
										kgw_settings.max_in_flight_per_destination, s->now);
}

static bool
wants_page(const KgwScheduler *s, KgwDestination *d)
{
	if (!d->more || d->paused || d->entries >= DESTINATION_ENTRIES)
		return false;
	if (d->health.open)
		return d->in_flight == 0 && dlist_is_empty(&d->ready) && d->rows == 0 &&
			kgw_health_probe_due(&d->health, s->now);
	return d->rows < DESTINATION_LOW &&
		(d->rows < DESTINATION_SHARE || s->row_bytes < ROW_BYTES);
}

/* Whether a destination waits for the time of its next probe. */
static bool
waits_for_probe(const KgwScheduler *s, KgwDestination *d)
{
	return d->health.open && !kgw_health_probe_due(&d->health, s->now) &&
		(d->more || !dlist_is_empty(&d->ready));
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
 * Those that have lately acknowledged stand in a line of their own: requests
 * to the others may each take until their timeout, and ten thousand that never
 * answer would else take every slot.
 */
static void
place_to_run(KgwScheduler *s, KgwDestination *d)
{
	bool		proven = d->last_success != 0 && d->health.failures == 0;

	if (d->running && d->proven != proven)
	{
		dlist_delete(&d->run_node);
		d->running = false;
	}
	d->proven = proven;
	enlist(proven ? &s->proven : &s->unproven, &d->run_node, &d->running, can_run(s, d));
}

/*
 * Put a destination into, or out of, the lines it belongs to now, and note that
 * it has changed.
 */
void
kgw_destination_place(KgwScheduler *s, KgwDestination *d)
{
	bool		ill = waits_for_probe(s, d);

	place_to_run(s, d);
	enlist(&s->paging, &d->page_node, &d->paging, wants_page(s, d));
	if (ill && !d->ill)
		pairingheap_add(s->ill, &d->ill_node);
	else if (!ill && d->ill)
		pairingheap_remove(s->ill, &d->ill_node);
	d->ill = ill;
	if (!d->changed)
		dlist_push_tail(&s->changed, &d->changed_node);
	d->changed = true;
}
