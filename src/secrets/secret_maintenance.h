/*-------------------------------------------------------------------------
 *
 * secret_maintenance.h
 *	  Keeping the table of secrets in order.
 *
 * src/secrets/secret_maintenance.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SECRETS_SECRET_MAINTENANCE_H
#define KGW_SECRETS_SECRET_MAINTENANCE_H

#include "pg/clock.h"

extern int64 kgw_secret_maintenance_encrypt_all(void);
extern void kgw_secret_maintenance_run(void);
extern KgwTicks kgw_secret_maintenance_due(void);

#endif							/* KGW_SECRETS_SECRET_MAINTENANCE_H */
