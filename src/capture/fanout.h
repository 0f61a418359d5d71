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
#include "utils/jsonb.h"

typedef struct KgwReceiver
{
	int64		subscription_id;
	char	   *url;
	char	   *shape;			/* of its payloads; NULL: each table's own */
	Jsonb	   *filter;			/* that they must fit; NULL: none */
} KgwReceiver;

extern List *kgw_fanout(const char *org_id, const char *event, const char **own_url);
extern bool kgw_fanout_wants(const KgwReceiver *receiver, Jsonb *payload, bool whole);
extern const char *kgw_fanout_shape(const char *org_id, int64 subscription_id);

#endif							/* KGW_CAPTURE_FANOUT_H */
