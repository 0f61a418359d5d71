/*-------------------------------------------------------------------------
 *
 * error_recovery.h
 *	  Errors that are caught, at the two levels where that is sound.
 *
 * src/pg/error_recovery.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PG_ERROR_RECOVERY_H
#define KGW_PG_ERROR_RECOVERY_H

/* Looks at an error that is still being handled; false = it is raised again. */
typedef bool (*KgwErrorTaker) (const ErrorData *error);

extern ErrorData *kgw_error_recovery_transaction(void (*act) (void *), void *arg,
											 KgwErrorTaker take);
extern ErrorData *kgw_error_recovery_subtransaction(void (*act) (void *), void *arg);

#endif							/* KGW_PG_ERROR_RECOVERY_H */
