/*-------------------------------------------------------------------------
 *
 * bench/connection.h
 *	  Connections of the bench's receiver, and what they belong to.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CONNECTION_H
#define KGW_CONNECTION_H

#include <stdbool.h>

#define KGW_ANSWER_NEVER (-1)

/* Ports that answer alike. */
typedef struct KgwGroup
{
	int			index;
	int			nports;
	int			answer_ms;		/* 0: at once; KGW_ANSWER_NEVER */
	bool		closes;			/* after each answer */
	unsigned	refuses_each;	/* of so many requests one, by 503; 0: none */
	unsigned	served;
	int		   *ports;
	struct KgwConnection *first_waiting;	/* for its answer; oldest first */
	struct KgwConnection *last_waiting;
} KgwGroup;

/* What an epoll event points to. */
typedef enum KgwSourceKind
{
	KGW_LISTENER,
	KGW_CONTROL,
	KGW_CONNECTION
} KgwSourceKind;

typedef struct KgwSource
{
	KgwSourceKind	kind;
	int			fd;
	KgwGroup   *group;
} KgwSource;

/* All that the receiver watches. */
extern int	kgw_epoll_fd;

extern void kgw_die(const char *what);
extern void kgw_watch(KgwSource *source);
extern void kgw_connections_accept(KgwSource *listener);
extern void kgw_connection_read(KgwSource *source);
extern int	kgw_answer_the_waiting(KgwGroup *groups, int ngroups);

#endif							/* KGW_CONNECTION_H */
