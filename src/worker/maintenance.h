/*-------------------------------------------------------------------------
 *
 * maintenance.h
 *	  The days of the log: made in time, dropped when they have had theirs; and
 *	  the room that the queue has taken, given back.
 *
 * src/worker/maintenance.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_WORKER_MAINTENANCE_H
#define KGW_WORKER_MAINTENANCE_H

#include "pg/clock.h"

typedef struct KgwMaintenance KgwMaintenance;

extern KgwMaintenance *kgw_maintenance_new(bool drops);
extern void kgw_maintenance_before_log(KgwMaintenance *maintenance);
extern KgwTicks kgw_maintenance_due(const KgwMaintenance *maintenance);
extern void kgw_maintenance_run(KgwMaintenance *maintenance);

#endif							/* KGW_WORKER_MAINTENANCE_H */
