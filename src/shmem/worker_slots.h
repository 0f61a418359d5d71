/*-------------------------------------------------------------------------
 *
 * worker_slots.h
 *	  Which databases want workers, and who runs.
 *
 * src/shmem/worker_slots.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SHMEM_WORKER_SLOTS_H
#define KGW_SHMEM_WORKER_SLOTS_H

/* any backend */
extern bool kgw_worker_slots_send_away(Oid dboid);
extern void kgw_worker_slots_let_return(Oid dboid, bool gone);
extern void kgw_worker_slots_look_again(Oid dboid);
extern int	kgw_worker_slots_workers_of(Oid dboid);

/* the launcher; "slot" counts from 0 to KGW_MAX_DATABASES - 1 */
extern void kgw_worker_slots_launcher_attach(void);
extern int	kgw_worker_slots_want(Oid dboid);
extern void kgw_worker_slots_set_absent(int slot);
extern bool kgw_worker_slots_forget(int slot);
extern Oid	kgw_worker_slots_database(int slot);
extern bool kgw_worker_slots_worker_runs(int slot, int shard);
extern bool kgw_worker_slots_absent(int slot);
extern bool kgw_worker_slots_present(int slot);
extern bool kgw_worker_slots_closed(int slot);

/* a worker */
extern bool kgw_worker_slots_worker_attach(int slot, int shard);
extern void kgw_worker_slots_worker_present(void);
extern void kgw_worker_slots_worker_absent(void);
extern bool kgw_worker_slots_worker_dismissed(void);
extern bool kgw_worker_slots_worker_fenced(bool fenced);

#endif							/* KGW_SHMEM_WORKER_SLOTS_H */
