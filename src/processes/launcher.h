/*-------------------------------------------------------------------------
 *
 * launcher.h
 *	  The background process that finds databases and starts their workers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_LAUNCHER_H
#define KGW_LAUNCHER_H

extern void kgw_launcher_register(void);
extern PGDLLEXPORT void kgw_launcher_main(Datum arg);

#endif							/* KGW_LAUNCHER_H */
