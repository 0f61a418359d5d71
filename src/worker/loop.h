/*-------------------------------------------------------------------------
 *
 * loop.h
 *	  One turn of a worker: read, send, collect, settle.
 *
 * src/worker/loop.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_WORKER_LOOP_H
#define KGW_WORKER_LOOP_H

#include "pg/clock.h"

typedef struct KgwLoop KgwLoop;

extern KgwLoop *kgw_loop_new(int shard);
extern bool kgw_loop_start(KgwLoop *loop);
extern bool kgw_loop_turn(KgwLoop *loop);
extern KgwTicks kgw_loop_deadline(KgwLoop *loop);
extern int	kgw_loop_fd(const KgwLoop *loop);
extern int	kgw_loop_in_flight(const KgwLoop *loop);
extern bool kgw_loop_fenced(const KgwLoop *loop);
extern bool kgw_loop_busy(const KgwLoop *loop);
extern void kgw_loop_settings_changed(KgwLoop *loop);

#endif							/* KGW_WORKER_LOOP_H */
