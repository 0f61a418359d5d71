/*-------------------------------------------------------------------------
 *
 * discreet.h
 *	  Handling a secret without a word of it in log or activity.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_DISCREET_H
#define KGW_DISCREET_H

typedef struct KgwDiscretion
{
	ErrorContextCallback *context;
	int			guc_level;
} KgwDiscretion;

extern void kgw_discreet_begin(KgwDiscretion *discretion, const char *statement);
extern void kgw_discreet_end(KgwDiscretion *discretion);
extern const char *kgw_discreet_recorder(void);

#endif							/* KGW_DISCREET_H */
