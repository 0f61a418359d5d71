/*-------------------------------------------------------------------------
 *
 * instance.h
 *	  Which database this is, among all copies of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_INSTANCE_H
#define KGW_INSTANCE_H

extern int64 kgw_instance_origin(void);
extern char *kgw_instance_foreign(void);

#endif							/* KGW_INSTANCE_H */
