/*-------------------------------------------------------------------------
 *
 * launcher.h
 *	  The background process that finds databases and starts their workers.
 *
 * src/worker/launcher.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_WORKER_LAUNCHER_H
#define KGW_WORKER_LAUNCHER_H

extern void kgw_launcher_register(void);
extern PGDLLEXPORT void kgw_launcher_main(Datum arg);

#endif							/* KGW_WORKER_LAUNCHER_H */
