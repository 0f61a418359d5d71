/*-------------------------------------------------------------------------
 *
 * event_facts.h
 *	  What an event is, read from a row.
 *
 * src/capture/event_facts.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CAPTURE_EVENT_FACTS_H
#define KGW_CAPTURE_EVENT_FACTS_H

#include "capture/payload.h"

/*
 * All text is palloc'd, or a constant.  *problem is set to what is wrong, unless something
 * was wrong before; none of them raises an error for it.
 */
extern const char *kgw_event_facts_org_id(const KgwWatch *watch, HeapTuple row, TupleDesc desc,
										  char **problem);
extern const char *kgw_event_facts_object_id(const KgwWatch *watch, HeapTuple row, TupleDesc desc,
											 char **problem);
extern const char *kgw_event_facts_name(const KgwWatch *watch, const char *status, char **problem);

/* NULL when the object wants no event sent to a URL of its own. */
extern const char *kgw_event_facts_own_url(const KgwWatch *watch, HeapTuple row, TupleDesc desc);

/*
 * The rest, into *delivery, whose organization, name and number are known; webhook_id is
 * the caller's room for the identifier.  Returns what payloads are made of, which points
 * into all of these.
 */
extern KgwPayloads kgw_event_facts_identify(const KgwWatch *watch, HeapTuple row, TupleDesc desc,
											const char *old, char webhook_id[KGW_WEBHOOK_ID_SIZE],
											KgwNewDelivery *delivery, char *problem);

#endif							/* KGW_CAPTURE_EVENT_FACTS_H */
