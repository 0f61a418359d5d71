/*-------------------------------------------------------------------------
 *
 * guc.h
 *	  kgwebhook.* as the rest of the module reads them.
 *
 * src/pg/guc.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PG_GUC_H
#define KGW_PG_GUC_H

#include "datatype/timestamp.h"
#include "pure/egress_settings.h"
#include "pure/ip_filter.h"
#include "pure/retry_schedule.h"
#include "pure/url.h"

/* Upper bound of kgwebhook.workers: worker slots live in shared memory. */
#define KGW_MAX_SHARDS 16

/* Databases of one server that can have workers at a time, for the same reason. */
#define KGW_MAX_DATABASES 64

/* How long the log is kept. */
typedef struct KgwRetention
{
	bool		forever;
	Interval	span;			/* else: at least a day */
} KgwRetention;

/* When a callback may leave. */
typedef enum KgwSendWhen
{
	KGW_SEND_FLUSHED,			/* this server has the commit on disk */
	KGW_SEND_REPLICATED			/* and so have the synchronous standbys */
} KgwSendWhen;

typedef struct KgwSettings
{
	bool		enabled;
	int			workers;		/* per database */
	int			max_in_flight;	/* requests, per worker */
	int			max_in_flight_per_destination;	/* requests */
	int			connect_timeout;	/* milliseconds */
	int			request_timeout;	/* milliseconds */
	int			max_hold;		/* milliseconds */
	double		retry_jitter;	/* share of the delay, 0 to 1 */
	bool		allow_http;
	char	   *ca_file;		/* "" = the system's */
	char	   *key_file;		/* "" = secrets are kept in the clear */
	char	   *proxy_credentials_file; /* "" = the proxy wants none */
	int			response_body_limit;	/* bytes */
	int			send_when;		/* a KgwSendWhen */

	/* parsed from their text by the check hooks; never NULL */
	KgwSchedule *schedule;
	KgwNetworks *allowed_networks;
	KgwPorts   *allowed_ports;
	KgwRetention *log_retention;
	KgwSource  *source;
	KgwProxy   *proxy;
} KgwSettings;

extern KgwSettings kgw_settings;

extern void kgw_guc_define(void);

#endif							/* KGW_PG_GUC_H */
