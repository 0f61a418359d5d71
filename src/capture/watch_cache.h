/*-------------------------------------------------------------------------
 *
 * watch_cache.h
 *	  What is to be read from a row of a watched table.
 *
 * src/capture/watch_cache.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CAPTURE_WATCH_CACHE_H
#define KGW_CAPTURE_WATCH_CACHE_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

#include "capture/value/column_kind.h"
#include "capture/value/computed_member.h"

typedef struct KgwMember
{
	char	   *name;			/* of the payload's member */
	KgwColumn	column;			/* none, if it is computed */
	KgwComputed computed;
} KgwMember;

/* A payload that a table's events can have. */
typedef struct KgwShape
{
	char	   *name;			/* that kg_watch_shape() was given; NULL: the table's own, of kg_watch() */
	int			member_count;
	KgwMember  *members;
	bool		can_fail;		/* some member is KGW_COLUMN_CONVERTED */
	bool		shrunk;			/* a column of the default is gone, which is no problem, but may be filtered by */
	char	   *problem;		/* a column that was named for a member and is gone, or NULL */
} KgwShape;

typedef struct KgwWatch
{
	Oid			relation;		/* the watched table, also for a partition */
	char	   *event;			/* first part of the event's name */
	Oid			owner;			/* of the table: its types' casts run as this role */
	KgwColumn	id;
	KgwColumn	status;
	KgwColumn	url;
	KgwColumn	org;
	KgwColumn	payload;		/* whole, instead of members */
	KgwColumn	webhook_id;
	KgwColumn	version;		/* of a followed table: tells versions of a row apart */
	char	   *source;			/* that the table is followed from, or NULL */
	char	   *node;			/* what this server is called there */
	int			shape_count;	/* one at least */
	KgwShape   *shapes;			/* the first one is the table's own */
	char	   *problem;		/* what kg_watch() named besides members and is gone, or NULL */
	bool		status_gone;	/* the column of that name is what is gone */
	bool		url_gone;
} KgwWatch;

/* One row of kgwebhook.shape. */
typedef struct KgwShapeRow
{
	char	   *name;
	struct varlena *payload;	/* jsonb */
	struct varlena *numbers;	/* jsonb: the table's columns' numbers, or NULL */
} KgwShapeRow;

/* One row of kgwebhook.watch, as text. */
typedef struct KgwWatchRow
{
	char	   *event;
	char	   *id_column;
	char	   *status_column;
	char	   *url_column;		/* or NULL */
	char	   *org_column;		/* or NULL */
	struct varlena *payload;	/* jsonb or NULL */
	Oid			relation;		/* the watched table */
	struct varlena *numbers;	/* jsonb: its columns' numbers, or NULL */
	int			money_digits;	/* decimals of money */
	bool		payload_is_default; /* nobody has asked for these members */
	char	   *source;			/* or NULL */
	char	   *node;
	char	   *version_column; /* or NULL */
	List	   *shapes;			/* of KgwShapeRow, besides the payload */
	char	   *payload_column; /* or NULL */
	char	   *webhook_id_column;	/* or NULL */
} KgwWatchRow;

extern const KgwWatch *kgw_watch_cache_lookup(Relation rel);
extern void kgw_watch_cache_release(const KgwWatch *watch);
extern int	kgw_watch_cache_shape(const KgwWatch *watch, const char *name);
extern bool kgw_watch_columns_is_virtual(Relation rel, const char *column);
extern const char *kgw_watch_columns_missing(int i, Jsonb *payload);
extern Jsonb *kgw_watch_columns_default_payload(const KgwWatchRow *row, Relation rel);
extern void kgw_watch_columns_check_payload(const KgwWatchRow *row, Relation rel);
extern KgwWatch *kgw_watch_columns_resolve(const KgwWatchRow *row, Relation rel);

#endif							/* KGW_CAPTURE_WATCH_CACHE_H */
