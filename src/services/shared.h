/*-------------------------------------------------------------------------
 *
 * shared.h
 *	  What processes tell one another through shared memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SHARED_H
#define KGW_SHARED_H

#include "datatype/timestamp.h"
#include "storage/latch.h"

#include "services/settings.h"

/* Databases of one server that can have workers at a time. */
#define KGW_MAX_DATABASES 64

#define KGW_ERROR_SIZE 256

/* How attempts end; the order is that of kgwebhook.worker_stats(). */
typedef enum KgwOutcome
{
	KGW_ACKNOWLEDGED,
	KGW_REJECTED,
	KGW_TIMED_OUT,
	KGW_UNREACHABLE,
	KGW_BLOCKED,
	KGW_INVALID,
	KGW_SUPERSEDED,
	KGW_OUTCOMES
} KgwOutcome;

extern const char *kgw_outcome_name(KgwOutcome outcome);

/* A copy of one database's numbers, consistent enough for people. */
typedef struct KgwSnapshot
{
	TimestampTz since;
	uint64		enqueued;
	uint64		outcomes[KGW_OUTCOMES];
	int			in_flight;
	int			workers;
	bool		busy;
	bool		fenced;			/* a worker found that the database is a copy */
	char		last_error[KGW_ERROR_SIZE];
	TimestampTz last_error_at;	/* 0 = never */
} KgwSnapshot;

extern void kgw_shared_request(void);
extern bool kgw_shared_ready(void);

/* any backend */
extern void kgw_shared_wake(uint64 enqueued, bool reload);
extern bool kgw_shared_send_away(Oid dboid);
extern int	kgw_shared_workers_of(Oid dboid);
extern void kgw_shared_let_return(Oid dboid, bool gone);
extern void kgw_shared_look_again(Oid dboid);
extern bool kgw_shared_snapshot(Oid dboid, KgwSnapshot *snapshot);

/* the launcher */
extern void kgw_shared_launcher_attach(void);
extern int	kgw_shared_want(Oid dboid);
extern void kgw_shared_set_absent(int slot);
extern bool kgw_shared_forget(int slot);
extern Oid	kgw_shared_database(int slot);
extern bool kgw_shared_worker_runs(int slot, int shard);
extern bool kgw_shared_absent(int slot);
extern bool kgw_shared_present(int slot);
extern bool kgw_shared_closed(int slot);

/* a worker */
extern void kgw_shared_worker_attach(int slot, int shard);
extern void kgw_shared_worker_present(void);
extern void kgw_shared_worker_absent(void);
extern bool kgw_shared_worker_dismissed(void);
extern void kgw_shared_worker_state(int in_flight, bool busy, bool deaf);
extern bool kgw_shared_worker_fenced(bool fenced);
extern uint32 kgw_shared_wakes(void);
extern uint32 kgw_shared_reloads(void);
extern void kgw_shared_count(KgwOutcome outcome);
extern void kgw_shared_error(const char *message);

#endif							/* KGW_SHARED_H */
