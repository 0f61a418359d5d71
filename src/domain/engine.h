/*-------------------------------------------------------------------------
 *
 * engine.h
 *	  One turn of a worker: read, send, collect, settle.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_ENGINE_H
#define KGW_ENGINE_H

#include "services/clock.h"

typedef struct KgwEngine KgwEngine;

extern KgwEngine *kgw_engine_new(int shard);
extern bool kgw_engine_start(KgwEngine *engine);
extern bool kgw_engine_turn(KgwEngine *engine);
extern KgwTicks kgw_engine_deadline(KgwEngine *engine);
extern int	kgw_engine_fd(const KgwEngine *engine);
extern int	kgw_engine_in_flight(const KgwEngine *engine);
extern bool kgw_engine_fenced(const KgwEngine *engine);
extern bool kgw_engine_busy(const KgwEngine *engine);
extern void kgw_engine_settings_changed(KgwEngine *engine);

#endif							/* KGW_ENGINE_H */
