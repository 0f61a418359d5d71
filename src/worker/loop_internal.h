/*-------------------------------------------------------------------------
 *
 * loop_internal.h
 *	  What loop.c and its parts share: the state of a worker's loop.
 *
 * src/worker/loop_internal.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_WORKER_LOOP_INTERNAL_H
#define KGW_WORKER_LOOP_INTERNAL_H

#include "queue/new_rows.h"
#include "schedule/scheduler.h"
#include "send/http_client.h"
#include "shmem/wakeups.h"
#include "worker/loop.h"
#include "worker/loop_settle.h"
#include "worker/maintenance.h"

/* While requests are in flight, arrivals are looked for this often at most. */
#define KGW_ARRIVALS_PAUSE 1000

struct KgwLoop
{
	int			shard;
	Oid			queue;			/* kgwebhook.queue, when the loop started */
	KgwScheduler *scheduler;
	KgwHttp    *http;
	KgwOutcomes *outcomes;
	KgwMaintenance *maintenance;
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
	bool		set_back;		/* since this loop began */
};

/* loop_read.c: when and how the queue is read */
extern bool kgw_loop_read_start(KgwLoop *loop);
extern bool kgw_loop_read_wants(const KgwLoop *loop, KgwTicks now);
extern void kgw_loop_read_run(KgwLoop *loop);
extern bool kgw_loop_read_begin(KgwLoop *loop);
extern bool kgw_loop_read_is_mine(const KgwLoop *loop, const char *destination);
extern void kgw_loop_read_stop(KgwLoop *loop);

/* loop_due.c: when what is read may go; all of them with SPI connected */
extern bool kgw_loop_due_stays(const KgwDelivery *row);
extern void kgw_loop_due_limits(const KgwLoop *loop, KgwDelivery *row);
extern KgwTicks kgw_loop_due(const KgwLoop *loop, const KgwDelivery *row);
extern KgwTicks kgw_loop_due_expiry(const KgwLoop *loop, const KgwDelivery *row);

/* loop_changed.c: what others have written */
extern void kgw_loop_changed(KgwLoop *loop, KgwChanged what);

/* loop_send.c: requests */
extern bool kgw_loop_send_allowed(const KgwLoop *loop);
extern bool kgw_loop_send_has_room(const KgwLoop *loop);
extern void kgw_loop_send_run(KgwLoop *loop);
extern void kgw_loop_send_collect(KgwLoop *loop);

#endif							/* KGW_WORKER_LOOP_INTERNAL_H */
