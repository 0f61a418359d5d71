/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  All that differs between the versions of PostgreSQL that are supported.
 *
 * To be included after PostgreSQL's own headers.  A difference is a macro of a
 * kgw_compat_ name, for what it stands for has to be declared only where it is
 * used; where only a name has changed, older servers get the newer one.  No
 * other file looks at PG_VERSION_NUM (scripts/includes.py sees to that), so a new
 * major version begins with reading this one.
 *
 * src/pg/compat.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PG_COMPAT_H
#define KGW_PG_COMPAT_H

#define KGW_COMPAT_MAJOR_VERSION (PG_VERSION_NUM / 10000)

/* 16: varlena's macros have a header of their own */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/*
 * Declared in utils/pg_locale.h, which from 17 on includes ICU's headers: a machine
 * that builds an extension need not have these.
 */
struct lconv;
extern struct lconv *PGLC_localeconv(void);

/* 16: extras of check hooks are of guc.c's own allocator, which was malloc */
#if PG_VERSION_NUM >= 160000
#define kgw_compat_guc_malloc(size) guc_malloc(LOG, size)
#define kgw_compat_guc_free(extra) guc_free(extra)
#else
static inline void *
kgw_compat_guc_malloc(size_t size)
{
	void	   *extra = malloc(size);

	if (extra == NULL)
		ereport(LOG,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return extra;
}

#define kgw_compat_guc_free(extra) free(extra)
#endif

/* 16: one function asks for the owner of anything */
#if PG_VERSION_NUM >= 160000
#define kgw_compat_owns_database(dboid, roleid) \
	object_ownercheck(DatabaseRelationId, dboid, roleid)
#define kgw_compat_owns_relation(relid, roleid) \
	object_ownercheck(RelationRelationId, relid, roleid)
#else
#define kgw_compat_owns_database(dboid, roleid) pg_database_ownercheck(dboid, roleid)
#define kgw_compat_owns_relation(relid, roleid) pg_class_ownercheck(relid, roleid)
#endif

/* 16: errors of input can be handed back */
#if PG_VERSION_NUM >= 160000
#define kgw_compat_qualified_name(string) stringToQualifiedNameList(string, NULL)
#else
#define kgw_compat_qualified_name(string) stringToQualifiedNameList(string)
#endif

/* 16: the executor knows result relations by list, and finds their maps itself */
#if PG_VERSION_NUM >= 160000
#define kgw_compat_eval_plan_qual_init(epq, estate) \
	EvalPlanQualInit(epq, estate, NULL, NIL, -1, NIL)
#define kgw_compat_root_to_child_map(relation, estate) ExecGetRootToChildMap(relation, estate)
#else
#define kgw_compat_eval_plan_qual_init(epq, estate) \
	EvalPlanQualInit(epq, estate, NULL, NIL, -1)
#define kgw_compat_root_to_child_map(relation, estate) ((relation)->ri_RootToPartitionMap)
#endif

/* 16: an argument more; 19: flags instead, and in another order */
#if PG_VERSION_NUM >= 190000
#define kgw_compat_insert_index_tuples(relation, slot, estate) \
	ExecInsertIndexTuples(relation, estate, 0, slot, NIL, NULL)
#elif PG_VERSION_NUM >= 160000
#define kgw_compat_insert_index_tuples(relation, slot, estate) \
	ExecInsertIndexTuples(relation, slot, estate, false, false, NULL, NIL, false)
#else
#define kgw_compat_insert_index_tuples(relation, slot, estate) \
	ExecInsertIndexTuples(relation, slot, estate, false, false, NULL, NIL)
#endif

/* 17: the name of what is known of transactions in shared memory */
#if PG_VERSION_NUM < 170000
#define TransamVariables ShmemVariableCache
#endif

/* 17: wait event sets have a resource owner instead of a memory context */
#if PG_VERSION_NUM >= 170000
#define kgw_compat_wait_event_set(events) CreateWaitEventSet(NULL, events)
#else
#define kgw_compat_wait_event_set(events) CreateWaitEventSet(TopMemoryContext, events)
#endif

/* 17: a setting that none before had, in a list of {name, value} */
#if PG_VERSION_NUM >= 170000
#define KGW_COMPAT_SETTINGS_OF_17 {"transaction_timeout", "0"},
#else
#define KGW_COMPAT_SETTINGS_OF_17
#endif

/* 18: what never returns says so before its declaration, not after it */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* 18: generated columns need not be stored */
#if PG_VERSION_NUM >= 180000
#define KGW_COMPAT_GENERATED_VIRTUAL ATTRIBUTE_GENERATED_VIRTUAL
#else
#define KGW_COMPAT_GENERATED_VIRTUAL 'v'
#endif

/* 18: a primary key may be deferrable, if the caller says so */
#if PG_VERSION_NUM >= 180000
#define kgw_compat_primary_key_index(relation) RelationGetPrimaryKeyIndex(relation, false)
#else
#define kgw_compat_primary_key_index(relation) RelationGetPrimaryKeyIndex(relation)
#endif

/* 19: what is pushed is kept in a state with the result, and not returned */
#if PG_VERSION_NUM >= 190000
typedef struct JsonbInState KgwCompatJsonbState;

#define kgw_compat_push_jsonb(state, token, value) pushJsonbValue(state, token, value)
#else
typedef struct KgwCompatJsonbState
{
	struct JsonbValue *result;
	struct JsonbParseState *parse;
} KgwCompatJsonbState;

#define kgw_compat_push_jsonb(state, token, value) \
	((void) ((state)->result = pushJsonbValue(&(state)->parse, token, value)))
#endif

/* 19: options of a scan, and of a delete */
#if PG_VERSION_NUM >= 190000
#define kgw_compat_table_beginscan(rel, snapshot) table_beginscan(rel, snapshot, 0, NULL, 0)
#define kgw_compat_table_tuple_delete(rel, place, command, snapshot, failure) \
	table_tuple_delete(rel, place, command, 0, snapshot, InvalidSnapshot, false, failure)
#else
#define kgw_compat_table_beginscan(rel, snapshot) table_beginscan(rel, snapshot, 0, NULL)
#define kgw_compat_table_tuple_delete(rel, place, command, snapshot, failure) \
	table_tuple_delete(rel, place, command, snapshot, InvalidSnapshot, false, failure, false)
#endif

/* 19: a hash table in shared memory has one size, and no first one */
#if PG_VERSION_NUM >= 190000
#define kgw_compat_shmem_init_hash(name, size, control, flags) \
	ShmemInitHash(name, size, control, flags)
#else
#define kgw_compat_shmem_init_hash(name, size, control, flags) \
	ShmemInitHash(name, size, size, control, flags)
#endif

/* 19: the planner is told of an EXPLAIN that wants to know more */
#if PG_VERSION_NUM >= 190000
#define kgw_compat_planner_parameters \
	Query *query, const char *text, int options, ParamListInfo params, struct ExplainState *explain
#define kgw_compat_planner_arguments query, text, options, params, explain
#else
#define kgw_compat_planner_parameters \
	Query *query, const char *text, int options, ParamListInfo params
#define kgw_compat_planner_arguments query, text, options, params
#endif

/* 18: the detail of an applied change's conflict has the key, and both rows */
#define KGW_COMPAT_CONFLICT_HAS_ROWS (PG_VERSION_NUM >= 180000)

#endif							/* KGW_PG_COMPAT_H */
