/*-------------------------------------------------------------------------
 *
 * engine_internal.h
 *	  What engine.c, reader.c and sending.c share: a worker's engine.
 *
 * src/domain/engine_internal.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_ENGINE_INTERNAL_H
#define KGW_ENGINE_INTERNAL_H

#include "domain/arrivals.h"
#include "domain/engine.h"
#include "domain/http.h"
#include "domain/ledger.h"
#include "domain/scheduler.h"
#include "domain/upkeep.h"
#include "services/shared_wakes.h"

/* While requests are in flight, arrivals are looked for this often at most. */
#define KGW_ARRIVALS_PAUSE 1000

struct KgwEngine
{
	int			shard;
	Oid			queue;			/* kgwebhook.queue, when the engine started */
	KgwScheduler *scheduler;
	KgwHttp    *http;
	KgwLedger *ledger;
	KgwUpkeep  *upkeep;
	KgwArrivals arrivals;
	bool		look;			/* something may have arrived */
	KgwTicks	looked_at;
	KgwTicks	again_at;		/* start over then: the queue could not be read */
	bool		there;			/* the database has the extension */
	uint32		wakes;			/* as of the last time that we listened */
	uint32		changes[KGW_CHANGES];	/* as of the last time that we read it all */
	bool		fenced;			/* this is a copy that nobody has adopted */
	bool		told;			/* that was logged, and nothing was sent since */
	bool		unreported;		/* there may be statistics to report */
	int			in_flight;
	int			limit;			/* of it: the setting, or what descriptors allow */

	/* of the read that is going on */
	TimestampTz wall;
	KgwTicks	now;

	/* of the wall clock */
	int64		offset;			/* how far it was ahead of the monotonic one; 0 = unknown */
	bool		set_back;		/* since this engine began */
};

/* reader.c: when and how the queue is read */
extern bool kgw_reader_start(KgwEngine *engine);
extern bool kgw_reader_wants(const KgwEngine *engine, KgwTicks now);
extern void kgw_reader_run(KgwEngine *engine);
extern void kgw_reader_changed(KgwEngine *engine, KgwChanged what);
extern void kgw_reader_stop(KgwEngine *engine);

/* sending.c: requests */
extern bool kgw_sending_allowed(const KgwEngine *engine);
extern bool kgw_sending_has_room(const KgwEngine *engine);
extern void kgw_sending_run(KgwEngine *engine);
extern void kgw_sending_collect(KgwEngine *engine);

#endif							/* KGW_ENGINE_INTERNAL_H */
