/*-------------------------------------------------------------------------
 *
 * caller.c
 *	  Who has called a function that runs with the owner's rights.
 *
 * What a merchant's role may do depends on which role called, and a SECURITY
 * DEFINER function can't tell: its current user is the owner, and the session's
 * user, or the one of SET ROLE, need not be who called.  A function of the
 * merchant's that a superuser runs would act for the superuser.
 *
 * So the functions that a merchant's role may execute come in two layers.  The
 * outer one, in the extension's schema, runs as its caller, is this file's
 * kg_for_caller(), and contains no SQL: it notes the current user, and calls the
 * function of the same name and arguments in the schema kgwebhook.  That one runs
 * as the owner, does the work, and asks kgwebhook.caller() for whom.  The note
 * lasts for as long as the call: who calls the inner function by itself is its own
 * caller, and only the owner may execute it.
 *
 * Which organization a role has is decided in one place, the view
 * kgwebhook.role_organization.
 *
 * src/api/caller.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "api/caller.h"

PG_FUNCTION_INFO_V1(kg_for_caller);
PG_FUNCTION_INFO_V1(kg_caller);

/* Who called the outermost function that is running; InvalidOid: none is. */
static Oid	caller_noted = InvalidOid;

/*
 * The function that does the work of this one, looked up once per expression; by its
 * very arguments, and without asking whether the caller may use that schema.
 */
static FmgrInfo *
implementation(FmgrInfo *outer)
{
	HeapTuple	tuple;
	Oid			function;
	FmgrInfo   *info;

	if (outer->fn_extra != NULL)
		return outer->fn_extra;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(outer->fn_oid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", outer->fn_oid);
	function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
							   NameGetDatum(&((Form_pg_proc) GETSTRUCT(tuple))->proname),
							   PointerGetDatum(&((Form_pg_proc) GETSTRUCT(tuple))->proargtypes),
							   ObjectIdGetDatum(get_namespace_oid("kgwebhook", false)));
	ReleaseSysCache(tuple);
	if (!OidIsValid(function))
		elog(ERROR, "function %u has no implementation", outer->fn_oid);
	info = MemoryContextAllocZero(outer->fn_mcxt, sizeof(FmgrInfo));
	fmgr_info_cxt(function, info, outer->fn_mcxt);
	outer->fn_extra = info;
	return info;
}

/*
 * Any function that a merchant's role may execute: calls its implementation, which
 * knows by kgwebhook.caller() for whom.
 */
Datum
kg_for_caller(PG_FUNCTION_ARGS)
{
	LOCAL_FCINFO(inner, FUNC_MAX_ARGS);
	Oid			former = caller_noted;
	Datum		result = (Datum) 0;

	InitFunctionCallInfoData(*inner, implementation(fcinfo->flinfo), PG_NARGS(), PG_GET_COLLATION(),
							 fcinfo->context, fcinfo->resultinfo);
	for (int i = 0; i < PG_NARGS(); i++)
		inner->args[i] = fcinfo->args[i];
	PG_TRY();
	{
		caller_noted = GetUserId();
		result = FunctionCallInvoke(inner);
	}
	PG_FINALLY();
	{
		caller_noted = former;
	}
	PG_END_TRY();
	fcinfo->isnull = inner->isnull;
	return result;
}

/* The role that called the function which is running, not the owner as whom it runs. */
Oid
kgw_caller_role(void)
{
	return OidIsValid(caller_noted) ? caller_noted : GetUserId();
}

/*
 * kgwebhook.caller() -> oid
 */
Datum
kg_caller(PG_FUNCTION_ARGS)
{
	PG_RETURN_OID(kgw_caller_role());
}

/*
 * An error unless the caller may act for that organization; the same one whether or not
 * there is such an organization.  SPI is connected.
 */
void
kgw_caller_check_organization(text *org_id)
{
	Oid			types[] = {TEXTOID};
	Datum		args[1];

	args[0] = PointerGetDatum(org_id);
	if (SPI_execute_with_args("SELECT kgwebhook.check_organization($1)",
							  1, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look up the caller's organization");
}

/*
 * The only organization that the caller may act for; NULL: all of them.  SPI is
 * connected, and has the text.
 */
text *
kgw_caller_organization(void)
{
	bool		isnull;
	Datum		org_id;

	if (SPI_execute("SELECT kgwebhook.scope()", true, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not look up the caller's organization");
	org_id = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	return isnull ? NULL : DatumGetTextPP(org_id);
}
