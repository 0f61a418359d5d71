/*-------------------------------------------------------------------------
 *
 * custody.h
 *	  Keeping the table of secrets in order.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CUSTODY_H
#define KGW_CUSTODY_H

#include "services/clock.h"

extern int64 kgw_custody_encrypt_all(void);
extern void kgw_custody_run(void);
extern KgwTicks kgw_custody_due(void);

#endif							/* KGW_CUSTODY_H */
