/*-------------------------------------------------------------------------
 *
 * fanout.h
 *	  Who gets an event besides the object's own URL.
 *
 * src/capture/fanout.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CAPTURE_FANOUT_H
#define KGW_CAPTURE_FANOUT_H

#include "nodes/pg_list.h"

typedef struct KgwReceiver
{
	int64		subscription_id;
	char	   *url;
	char	   *shape;			/* of its payloads; NULL: each table's own */
} KgwReceiver;

extern List *kgw_fanout(const char *org_id, const char *event, const char *own_url);
extern const char *kgw_fanout_shape(const char *org_id, int64 subscription_id);

#endif							/* KGW_CAPTURE_FANOUT_H */
