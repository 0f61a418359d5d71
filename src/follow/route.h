/*-------------------------------------------------------------------------
 *
 * route.h
 *	  Which node serves an organization of a source.
 *
 * src/follow/route.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_FOLLOW_ROUTE_H
#define KGW_FOLLOW_ROUTE_H

typedef enum KgwRoute
{
	KGW_ROUTE_OTHER,			/* another node serves it */
	KGW_ROUTE_MINE,
	KGW_ROUTE_HELD				/* this one, once the one before has released it */
} KgwRoute;

extern KgwRoute kgw_route_of(const char *source, const char *node, const char *org_id);

#endif							/* KGW_FOLLOW_ROUTE_H */
