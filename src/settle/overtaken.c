/*-------------------------------------------------------------------------
 *
 * overtaken.c
 *	  Whether a newer status of an object has been acknowledged while an older one
 *	  was out of the queue.
 *
 * Within the queue an object's deliveries go one at a time, oldest first, and
 * nothing has to be asked.  Three kinds have been out of that line while newer ones
 * may have gone past them:
 *
 * A dead letter that kg_recover() has put back.  It leaves out what it finds
 * overtaken; but a newer one may be on its way just then, or its outcome not be
 * committed yet.
 *
 * What has waited for a paused subscription, whose URL the object's own has become:
 * newer events go there as the object's own, which no pause holds.
 *
 * What has waited because its own URL had not consented (own_consent.c), while newer ones went to
 * another URL at the same destination.
 *
 * So these are compared with the log right before they are sent.  Each is the first
 * then of what its object has in the queue for that URL, and nothing newer of that is on
 * its way (schedule/object_order.c, shared_url.c): what the log does not have now can't
 * come to be there before it.
 *
 * Only the log since a day before they left that line matters.  Of a recovered one
 * that is a partition or two, found by the object.
 *
 * Needs SPI to be connected.
 *
 * src/settle/overtaken.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "pg/encoding.h"
#include "pg/saved_plan.h"
#include "settle/overtaken.h"
#include "settle/own_consent.h"
#include "settle/subscription_state.h"

static Datum
wire_text(const char *wire)
{
	return CStringGetTextDatum(kgw_encoding_from_wire(wire, strlen(wire)));
}

/*
 * Whether a newer status may have gone past this row, and since when: see above.  How
 * its subscription stands has to be known.
 */
bool
kgw_overtaken_possible(const KgwDelivery *row, TimestampTz *since)
{
	const KgwSubscriptionState *state;

	*since = row->recovered;
	if (row->recovered != 0)
		return true;
	*since = row->enqueued_at;
	if (row->subscription_id == 0)
		return row->enqueued_at <= kgw_own_consent_changed_at(row);
	state = kgw_subscription_state_known(row->subscription_id);
	return state != NULL && state->resumed_at != 0 &&
		row->enqueued_at <= state->resumed_at;
}

/* Whether a newer status of its object was acknowledged where this row goes. */
bool
kgw_overtaken(const KgwDelivery *row, TimestampTz since)
{
	static SPIPlanPtr kept;
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID, TEXTOID, INT8OID,
	TIMESTAMPTZOID};
	Datum		args[8];
	uint64		found;

	kgw_saved_plan(&kept,
			 "SELECT FROM kgwebhook.delivery_log"
			 " WHERE object_id OPERATOR(pg_catalog.=) $1 AND org_id OPERATOR(pg_catalog.=) $2"
			 "   AND kind OPERATOR(pg_catalog.=) $3 AND destination OPERATOR(pg_catalog.=) $4"
			 "   AND (coalesce(subscription_id, 0) OPERATOR(pg_catalog.=) $5"
			 "        OR url OPERATOR(pg_catalog.=) $6)"
			 "   AND delivery_id OPERATOR(pg_catalog.>) $7"
			 "   AND started_at OPERATOR(pg_catalog.>=) ($8 OPERATOR(pg_catalog.-)"
			 "       '1 day'::pg_catalog.interval)"
			 "   AND outcome OPERATOR(pg_catalog.=) 'acknowledged' AND NOT is_test",
			 8, types);
	args[0] = wire_text(row->object_id);
	args[1] = wire_text(row->org_id);
	args[2] = wire_text(row->kind);
	args[3] = wire_text(row->destination);
	args[4] = Int64GetDatum(row->subscription_id);
	args[5] = wire_text(row->url);
	args[6] = Int64GetDatum(row->delivery_id);
	args[7] = TimestampTzGetDatum(since);
	if (SPI_execute_plan(kept, args, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.delivery_log");
	found = SPI_processed;
	SPI_freetuptable(SPI_tuptable);
	return found > 0;
}
