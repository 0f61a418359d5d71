/*-------------------------------------------------------------------------
 *
 * column_kind.c
 *	  Which JSON value a type becomes, and whether making it can fail.
 *
 * It is decided once for a column, when a table's watch is resolved, and not for each
 * row: a payment pays for none of these look-ups.
 *
 * Only PostgreSQL's own types, and enums, are known not to fail: all others are
 * CONVERTED, within a subtransaction (payload.c).  So are those of its own whose text
 * recurses, has no limit, or depends on the session's search_path.
 *
 * src/capture/value/column_kind.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "parser/parse_coerce.h"
#include "utils/lsyscache.h"

#include "capture/value/column_kind.h"

Oid
kgw_column_kind_json_cast(Oid type)
{
	Oid			function;

	if (find_coercion_pathway(JSONOID, type, COERCION_EXPLICIT, &function) == COERCION_PATH_FUNC)
		return function;
	return InvalidOid;
}

static KgwColumnKind
column_kind(Oid type)
{
	switch (type)
	{
		case INT2OID:
		case INT4OID:
			return KGW_COLUMN_NUMBER;
		case FLOAT4OID:
		case FLOAT8OID:
			return KGW_COLUMN_FLOAT;
		case BOOLOID:
			return KGW_COLUMN_BOOL;
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return KGW_COLUMN_TIMESTAMP;
		case JSONBOID:
			return KGW_COLUMN_JSONB;
		case JSONOID:
			return KGW_COLUMN_CONVERTED;
			/* to write these recurses, as deep as they are */
		case TSQUERYOID:
		case JSONPATHOID:
			return KGW_COLUMN_CONVERTED;
			/* what these say depends on search_path, which is pinned for those */
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGTYPEOID:
		case REGCOLLATIONOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
			return KGW_COLUMN_CONVERTED;
	}
	if (get_typtype(type) == TYPTYPE_ENUM)
		return OidIsValid(kgw_column_kind_json_cast(type)) ? KGW_COLUMN_CONVERTED : KGW_COLUMN_STRING;
	if (type < FirstNormalObjectId && get_typtype(type) == TYPTYPE_BASE &&
		!OidIsValid(get_element_type(type)))
		return KGW_COLUMN_STRING;
	return KGW_COLUMN_CONVERTED;
}

static bool
text_can_fail(Oid type)
{
	return type == TSQUERYOID || type == JSONPATHOID || type == JSONBOID || type == BYTEAOID ||
		OidIsValid(get_element_type(type)) ||
		(get_typtype(type) != TYPTYPE_BASE && get_typtype(type) != TYPTYPE_ENUM);
}

/* How values of a type are read, be they a column's or parts of one's. */
void
kgw_column_kind_set(KgwColumn *column, Oid type, int money_digits)
{
	Oid			output;
	bool		is_varlena;

	column->type = getBaseType(type);
	column->kind = column_kind(column->type);
	column->text_can_fail = text_can_fail(column->type);
	column->money_digits = money_digits;
	getTypeOutputInfo(column->type, &output, &is_varlena);
	fmgr_info(output, &column->output);
}
