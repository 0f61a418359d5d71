/*-------------------------------------------------------------------------
 *
 * shared_roster.h
 *	  Which databases want workers, and who runs.
 *
 * src/services/shared_roster.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SHARED_ROSTER_H
#define KGW_SHARED_ROSTER_H

/* any backend */
extern bool kgw_shared_send_away(Oid dboid);
extern void kgw_shared_let_return(Oid dboid, bool gone);
extern void kgw_shared_look_again(Oid dboid);
extern int	kgw_shared_workers_of(Oid dboid);

/* the launcher; "slot" counts from 0 to KGW_MAX_DATABASES - 1 */
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
extern bool kgw_shared_worker_attach(int slot, int shard);
extern void kgw_shared_worker_present(void);
extern void kgw_shared_worker_absent(void);
extern bool kgw_shared_worker_dismissed(void);
extern bool kgw_shared_worker_fenced(bool fenced);

#endif							/* KGW_SHARED_ROSTER_H */
