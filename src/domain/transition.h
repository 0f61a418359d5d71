/*-------------------------------------------------------------------------
 *
 * transition.h
 *	  The life of the objects in the ready-made tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_TRANSITION_H
#define KGW_TRANSITION_H

/* "From" is NULL for creation. */
typedef struct KgwTransition
{
	const char *from;
	const char *to;
} KgwTransition;

typedef struct KgwMachine
{
	const char *name;
	const char *statuses;		/* all of them, for the hint */
	const KgwTransition *transitions;	/* ends with to = NULL */
} KgwMachine;

extern const KgwMachine *kgw_transition_machine(const char *name);

#endif							/* KGW_TRANSITION_H */
