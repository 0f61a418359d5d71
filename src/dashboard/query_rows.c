/*-------------------------------------------------------------------------
 *
 * query_rows.c
 *	  Reading what the delivery page shows.
 *
 * All of the page's queries run read-only and so in one snapshot, that of the
 * statement that asked for it: its numbers agree with each other.
 *
 * src/dashboard/query_rows.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dashboard/page.h"

/*
 * The rows of a query, which live until SPI_finish(); its column 1 is column 1.
 */
SPITupleTable *
kgw_query_rows_read(const char *query, int nargs, Oid *types, Datum *args)
{
	if (SPI_execute_with_args(query, nargs, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read \"%s\"", query);
	return SPI_tuptable;
}

static Datum
value_of(const KgwFacts *facts, int column, bool *isnull)
{
	return SPI_getbinval(facts->table->vals[facts->row], facts->table->tupdesc, column, isnull);
}

bool
kgw_query_rows_null(const KgwFacts *facts, int column)
{
	bool		isnull;

	(void) value_of(facts, column, &isnull);
	return isnull;
}

/* A bigint; NULL is zero. */
int64
kgw_query_rows_count(const KgwFacts *facts, int column)
{
	bool		isnull;
	Datum		value = value_of(facts, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

/* A boolean; NULL is false. */
bool
kgw_query_rows_flag(const KgwFacts *facts, int column)
{
	bool		isnull;
	Datum		value = value_of(facts, column, &isnull);

	return !isnull && DatumGetBool(value);
}

/* A timestamptz; NULL is long ago. */
TimestampTz
kgw_query_rows_time(const KgwFacts *facts, int column)
{
	bool		isnull;
	Datum		value = value_of(facts, column, &isnull);

	return isnull ? DT_NOBEGIN : DatumGetTimestampTz(value);
}

/* Any type, as text; NULL is NULL. */
char *
kgw_query_rows_text(const KgwFacts *facts, int column)
{
	return SPI_getvalue(facts->table->vals[facts->row], facts->table->tupdesc, column);
}
