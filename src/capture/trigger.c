/*-------------------------------------------------------------------------
 *
 * trigger.c
 *	  Where a delivery begins: the trigger of a watched table.
 *
 * It runs after the row is final (AFTER ... FOR EACH ROW, without a column
 * list), so that a status set by a user's BEFORE trigger is seen like any
 * other, and it compares the statuses itself.  It writes in the user's
 * transaction and does nothing else: it never validates, resolves or signs.
 * Whatever is wrong with an event (event_facts.c) travels along as the delivery's
 * problem.
 *
 * It fires for DELETE too, which is never an event: it is how a row that moves to
 * another partition is told from a new one (partition_move.c).
 *
 * The rows of a subscription's initial copy are no transitions (apply_worker.c).
 *
 * The one thing it refuses is to serve a table that kg_watch() wasn't called
 * for.  A role that can create triggers must not thereby get events signed.
 *
 * src/capture/trigger.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "utils/rel.h"

#include "capture/enqueue.h"
#include "capture/event_facts.h"
#include "capture/event_order.h"
#include "capture/event_withdraw.h"
#include "capture/fanout.h"
#include "capture/own_deliveries.h"
#include "capture/partition_move.h"
#include "capture/payload.h"
#include "capture/trigger.h"
#include "capture/value/value_style.h"
#include "capture/watch_cache.h"
#include "follow/route.h"
#include "pg/apply_worker.h"
#include "shmem/point.h"

PG_FUNCTION_INFO_V1(kg_enqueue);

static void
check_fired_after_row(FunctionCallInfo fcinfo)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager", "kgwebhook.enqueue")));
	if (!TRIGGER_FIRED_AFTER(data->tg_event) || !TRIGGER_FIRED_FOR_ROW(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired AFTER ROW", "kgwebhook.enqueue"),
				 errhint("Use kg_watch() to watch a table.")));
}

static const KgwWatch *
watch_or_refuse(Relation rel)
{
	const KgwWatch *watch = kgw_watch_cache_lookup(rel);

	if (watch == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not watched", RelationGetRelationName(rel)),
				 errdetail("It has a trigger of kgwebhook, but kg_watch() was not called for it."),
				 errhint("Call kg_watch() for the table, or drop the trigger.")));
	return watch;
}

/*
 * Whether the object had a status before, which is then in *old (NULL = a null);
 * false for a new one.
 */
static bool
existed_before(const KgwWatch *watch, TriggerData *data, HeapTuple row, const char **old)
{
	Relation	rel = data->tg_relation;

	if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
	{
		*old = kgw_payload_column_text(&watch->status, data->tg_trigtuple, RelationGetDescr(rel));
		return true;
	}
	return kgw_partition_move_here(watch, rel, row, kgw_event_order_version(rel, row), old);
}

/*
 * Whether the row's new status differs from the old one's; *status is the new, *old
 * the old or NULL, and *created says that there was none.
 */
static bool
status_changed(const KgwWatch *watch, TriggerData *data, HeapTuple row, char **status,
			   const char **old, bool *created)
{
	*old = NULL;
	*created = !existed_before(watch, data, row, old);
	*status = kgw_payload_column_text(&watch->status, row, RelationGetDescr(data->tg_relation));

	/* without the column only a creation is known to be a transition */
	if (watch->status_gone && *created)
		*status = "unknown";
	if (*status == NULL)
		return false;
	return *created || *old == NULL || strcmp(*old, *status) != 0;
}

/*
 * The row goes.  Should the object be inserted later in this transaction, that
 * will ask for this row; was it inserted already, it was no new one.
 */
static void
note_departure(const KgwWatch *watch, TriggerData *data)
{
	Relation	rel = data->tg_relation;
	HeapTuple	row = data->tg_trigtuple;
	TupleDesc	desc = RelationGetDescr(rel);
	char	   *status;
	char	   *problem = NULL;
	KgwNewDelivery event = {0};

	kgw_partition_move_away(watch, rel, row);
	if (!kgw_own_deliveries_any() || !kgw_partition_move_from_before(rel, row))
		return;
	status = kgw_payload_column_text(&watch->status, row, desc);
	if (status == NULL)
		return;
	event.kind = watch->event;
	event.org_id = kgw_event_facts_org_id(watch, row, desc, &problem);
	event.object_id = kgw_event_facts_object_id(watch, row, desc, &problem);
	event.event = kgw_event_facts_name(watch, status, &problem);
	if (!kgw_event_withdraw_concerns(&event))
		return;
	if (kgw_partition_move_alone(watch, rel, row))
		kgw_event_withdraw(&event);
	else
		kgw_event_withdraw_undo(&event);
}

/*
 * Enqueue an event for the object's own URL, and for who has subscribed to it, each with
 * the payload of its shape; the first of its deliveries has the number that was drawn.
 * Returns the number of the first of its deliveries, 0 if nobody wants it; *last is that
 * of the last.
 */
static int64
enqueue_for_all(KgwPayloads *payloads, KgwNewDelivery *delivery, const char *url,
				const List *subscribers, int64 *last)
{
	ListCell   *lc;
	int64		first = 0;

	delivery->url = url;
	delivery->subscription_id = 0;
	if (url != NULL)
	{
		(void) kgw_payload_choose(payloads, NULL, delivery);
		first = *last = kgw_enqueue(delivery);
		delivery->delivery_id = 0;
	}
	foreach(lc, subscribers)
	{
		const KgwReceiver *receiver = lfirst(lc);
		bool		whole = kgw_payload_choose(payloads, receiver->shape, delivery);

		if (!kgw_fanout_wants(receiver, delivery->payload, whole))
			continue;
		delivery->url = receiver->url;
		delivery->subscription_id = receiver->subscription_id;
		*last = kgw_enqueue(delivery);
		delivery->delivery_id = 0;
		if (first == 0)
			first = *last;
	}
	return first;
}

/* Whether this node serves the organization; of a table that is written here, always. */
static bool
is_served_here(const KgwWatch *watch, KgwNewDelivery *delivery)
{
	KgwRoute	route;

	if (watch->source == NULL)
		return true;
	route = kgw_route_of(watch->source, watch->node, delivery->org_id);
	if (route == KGW_ROUTE_HELD)
	{
		delivery->held_for = watch->source;
		KGW_POINT("held");
	}
	return route != KGW_ROUTE_OTHER;
}

/*
 * Enqueue the deliveries of a row's transition, if it is one.  All receivers get
 * the same event, with one webhook-id.
 */
static void
enqueue_transition(const KgwWatch *watch, TriggerData *data)
{
	TupleDesc	desc = RelationGetDescr(data->tg_relation);
	HeapTuple	row = TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple : data->tg_trigtuple;
	KgwNewDelivery delivery = {0};
	const char *old;
	char		webhook_id[KGW_WEBHOOK_ID_SIZE];
	char	   *status;
	char	   *problem = watch->problem;
	const char *url;
	List	   *subscribers;
	KgwPayloads payloads;
	bool		created;
	int64		first;
	int64		last = 0;
	CommandId	version = kgw_event_order_version(data->tg_relation, row);

	if (!status_changed(watch, data, row, &status, &old, &created))
		return;
	delivery.org_id = kgw_event_facts_org_id(watch, row, desc, &problem);
	if (!is_served_here(watch, &delivery))
		return;
	delivery.kind = watch->event;
	delivery.event = kgw_event_facts_name(watch, status, &problem);
	url = kgw_event_facts_own_url(watch, row, desc);
	subscribers = kgw_fanout(delivery.org_id, delivery.event, &url);
	if (url == NULL && subscribers == NIL)
		return;
	delivery.delivery_id = kgw_enqueue_next_number();
	payloads = kgw_event_facts_identify(watch, row, desc, old, webhook_id, &delivery, problem);
	first = enqueue_for_all(&payloads, &delivery, url, subscribers, &last);
	if (first == 0)
		return;
	kgw_event_withdraw_note(first, last, created);
	kgw_event_order_keep(watch, &delivery, version, first);
}

/* What kgw_trigger_preview() shows; the result outlives what the watch is cached for. */
static void
preview_event(const KgwWatch *watch, Relation rel, HeapTuple row, const char *shape,
			  KgwNewDelivery *event)
{
	TupleDesc	desc = RelationGetDescr(rel);
	char	   *webhook_id = palloc(KGW_WEBHOOK_ID_SIZE);
	KgwPayloads payloads;
	char	   *problem = watch->problem;
	char	   *status = watch->status_gone ? "unknown" :
		kgw_payload_column_text(&watch->status, row, desc);

	event->org_id = kgw_event_facts_org_id(watch, row, desc, &problem);
	if (status == NULL)
		return;
	event->kind = pstrdup(watch->event);
	event->event = kgw_event_facts_name(watch, status, &problem);
	event->url = kgw_event_facts_own_url(watch, row, desc);
	payloads = kgw_event_facts_identify(watch, row, desc, NULL, webhook_id, event, problem);
	kgw_payload_choose(&payloads, shape, event);
	if (event->problem != NULL)
		event->problem = pstrdup(event->problem);
}

/*
 * The event that a row would make if it were new, in one of the table's shapes, without
 * enqueuing it: to be shown.
 * Its number is the caller's.  Its event's name stays NULL where the row's status is NULL.
 */
void
kgw_trigger_preview(Relation rel, HeapTuple row, const char *shape, KgwNewDelivery *event)
{
	const KgwWatch *watch = watch_or_refuse(rel);
	KgwValueStyle session;

	kgw_value_style_begin(&session);
	PG_TRY();
	{
		preview_event(watch, rel, row, shape, event);
	}
	PG_FINALLY();
	{
		kgw_value_style_end(&session);
		kgw_watch_cache_release(watch);
	}
	PG_END_TRY();
}

/* Enqueue the event of a row as it is, as if it were new; its relation is watched. */
void
kgw_trigger_announce(Relation rel, HeapTuple row)
{
	const KgwWatch *watch = watch_or_refuse(rel);
	TriggerData data = {
		.type = T_TriggerData, .tg_event = TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW | TRIGGER_EVENT_AFTER,
		.tg_relation = rel, .tg_trigtuple = row
	};
	KgwValueStyle session;

	kgw_value_style_begin(&session);
	PG_TRY();
	{
		enqueue_transition(watch, &data);
	}
	PG_FINALLY();
	{
		kgw_value_style_end(&session);
		kgw_watch_cache_release(watch);
	}
	PG_END_TRY();
}

/*
 * kgwebhook.enqueue(): trigger function of a watched table.
 */
Datum
kg_enqueue(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	const KgwWatch *watch;
	KgwValueStyle session;

	check_fired_after_row(fcinfo);
	if (kgw_apply_worker_copies())
		return PointerGetDatum(NULL);
	watch = watch_or_refuse(data->tg_relation);
	kgw_value_style_begin(&session);
	PG_TRY();
	{
		if (TRIGGER_FIRED_BY_DELETE(data->tg_event))
			note_departure(watch, data);
		else
			enqueue_transition(watch, data);
		if (watch->source != NULL)
			KGW_POINT("applied");
	}
	PG_FINALLY();
	{
		kgw_value_style_end(&session);
		kgw_watch_cache_release(watch);
	}
	PG_END_TRY();
	return PointerGetDatum(NULL);
}
