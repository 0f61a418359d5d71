/*-------------------------------------------------------------------------
 *
 * watch_request.c
 *	  What kg_watch() may be asked for: whose table, which kind of table, and the
 *	  names that are given.
 *
 * The role that watches a table gets events signed in the name of its organizations,
 * so only the table's owner may.
 *
 * The trigger never fails a payment: what is named wrongly could only become invalid
 * deliveries, one for each event.  So it is refused here, where a person reads the
 * error.  What goes wrong later, such as a column that is dropped, is the watch's
 * problem (watch_columns.c).
 *
 * src/capture/watch_request.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "capture/watch_request.h"
#include "pg/compat.h"
#include "pg/extension.h"

/* Before a lock is taken, too: who has no business here must not block others. */
void
kgw_watch_request_check_owner(Oid relid)
{
	if (!kgw_compat_owns_relation(relid, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table %s", get_rel_name(relid)),
				 errdetail("Watching a table gets its events signed in the name of its organizations."),
				 errhint("Call the function as the table's owner.")));
}

/* Whether a crash would empty the table, or a partition of it. */
static bool
has_unlogged(Relation rel)
{
	ListCell   *lc;

	if (rel->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED)
		return true;
	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return false;
	foreach(lc, find_all_inheritors(RelationGetRelid(rel), AccessShareLock, NULL))
	{
		if (get_rel_persistence(lfirst_oid(lc)) == RELPERSISTENCE_UNLOGGED)
			return true;
	}
	return false;
}

static void
check_kind(Relation rel)
{
	const char *why = NULL;

	if (rel->rd_rel->relkind != RELKIND_RELATION &&
		rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		why = "It is not a table.";
	else if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		why = "It is a temporary table, which only its own session sees.";
	else if (has_unlogged(rel))
		why = "It is unlogged, or a partition of it is: a crash would leave events without their payments.";
	else if (IsCatalogRelation(rel) ||
			 RelationGetNamespace(rel) == get_namespace_oid("kgwebhook", true))
		why = "It belongs to the system or to kgwebhook.";
	else if (rel->rd_rel->relispartition)
		why = "It is a partition.";
	else if (rel->rd_rel->relkind == RELKIND_RELATION &&
			 (has_superclass(RelationGetRelid(rel)) || has_subclass(RelationGetRelid(rel))))
		why = "It is part of an inheritance tree, where one table's triggers don't see the others' rows.";
	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" cannot be watched", RelationGetRelationName(rel)),
				 errdetail("%s", why),
				 errhint("Watch an ordinary table, or a partitioned table as a whole.")));
}

static void
check_event(const char *event, const char *of)
{
	size_t		len = strlen(event);

	if (len > 0 && len <= 100 &&
		strspn(event, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == len)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" cannot be the name of %s", event, of),
			 errdetail("It has 1 to 100 characters: letters, digits, \"_\", \"-\" and \".\"."),
			 errhint("Give one such as %s.", strcmp(of, "an event") == 0 ? "payment_intent" : "v2")));
}

static void
check_column(Relation rel, const char *column, const char *argument)
{
	if (column != NULL && kgw_watch_columns_is_virtual(rel, column))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of table \"%s\" is virtual", column,
						RelationGetRelationName(rel)),
				 errdetail("It was given, or is the default, for %s.  The value of a virtual generated column is not in the row, so a trigger does not see it.", argument),
				 errhint("Make it a STORED generated column.")));
	if (column == NULL || get_attnum(RelationGetRelid(rel), column) > 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" of table \"%s\" does not exist", column,
					RelationGetRelationName(rel)),
			 errdetail("It was given, or is the default, for %s.", argument),
			 strcmp(argument, "payload") == 0 ?
			 errhint("Map members to columns that the table has, or to $type, $event_id, $occurred_at, $previous_status, $sequence or $org_id.") :
			 strcmp(argument, "payload_column") == 0 || strcmp(argument, "webhook_id_column") == 0 ||
			 strcmp(argument, "url_column") == 0 || strcmp(argument, "org_column") == 0 ?
			 errhint("Pass %s => another column, or NULL if there is none.", argument) :
			 errhint("Pass %s => the table's own column.", argument)));
}

static void
check_reserved(const char *member)
{
	if (strcmp(member, "timestamp") != 0 && strcmp(member, "signature") != 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_RESERVED_NAME),
			 errmsg("member \"%s\" is reserved", member),
			 errdetail("Every attempt gets a timestamp and a signature of its own."),
			 errhint("Pass payload => a mapping of members to columns that gives it another name.")));
}

static void
check_map(Relation rel, Jsonb *payload)
{
	JsonbIterator *it = JsonbIteratorInit(&payload->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *source;

	if (!JB_ROOT_IS_OBJECT(payload))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("payload is not an object"),
				 errhint("Map members to columns, as in {\"id\": \"order_id\"}.")));
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			check_reserved(pnstrdup(value.val.string.val, value.val.string.len));
		if (token != WJB_VALUE)
			continue;
		if (value.type != jbvString)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("payload maps a member to something else than a column's name"),
					 errhint("Map members to columns, as in {\"id\": \"order_id\"}.")));
		source = pnstrdup(value.val.string.val, value.val.string.len);
		if (kgw_computed_member_of(source) == KGW_COMPUTED_NONE)
			check_column(rel, source, "payload");
	}
}

/* Refuse what the trigger could only turn into invalid deliveries. */
void
kgw_watch_request_check_row(Relation rel, const KgwWatchRow *row)
{
	KgwWatch   *watch;

	check_event(row->event, "an event");
	check_column(rel, row->id_column, "id_column");
	check_column(rel, row->status_column, "status_column");
	check_column(rel, row->url_column, "url_column");
	check_column(rel, row->org_column, "org_column");
	check_column(rel, row->payload_column, "payload_column");
	check_column(rel, row->webhook_id_column, "webhook_id_column");
	if (row->payload != NULL)
		check_map(rel, (Jsonb *) row->payload);
	kgw_watch_columns_check_payload(row, rel);
	watch = kgw_watch_columns_resolve(row, rel);
	for (int i = 0; i < watch->shapes[0].member_count; i++)
		check_reserved(watch->shapes[0].members[i].name);
}

/* The same of a shape of a watched table; a NULL payload takes it away. */
void
kgw_watch_request_check_shape(Relation rel, const char *shape, Jsonb *payload)
{
	check_event(shape, "a shape");
	if (payload != NULL)
		check_map(rel, payload);
}

/* Open a table that may be watched; it is locked until the transaction ends. */
Relation
kgw_watch_request_open(Oid relid)
{
	Relation	rel;

	kgw_watch_request_check_owner(relid);
	rel = kgw_extension_open_table(relid, ShareRowExclusiveLock);
	kgw_watch_request_check_owner(relid);
	check_kind(rel);
	return rel;
}
