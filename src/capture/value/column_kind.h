/*-------------------------------------------------------------------------
 *
 * column_kind.h
 *	  How values of a type are read.
 *
 * src/capture/value/column_kind.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_CAPTURE_VALUE_COLUMN_KIND_H
#define KGW_CAPTURE_VALUE_COLUMN_KIND_H

#include "access/attnum.h"
#include "fmgr.h"

/* How a column becomes a JSON value (design A2, kg_watch). */
typedef enum KgwColumnKind
{
	KGW_COLUMN_STRING,			/* its text: also numeric and bigint */
	KGW_COLUMN_NUMBER,			/* smallint, integer */
	KGW_COLUMN_FLOAT,
	KGW_COLUMN_BOOL,
	KGW_COLUMN_TIMESTAMP,		/* RFC 3339, UTC */
	KGW_COLUMN_JSONB,
	KGW_COLUMN_CONVERTED		/* by its parts, or to_jsonb(); may raise an error */
} KgwColumnKind;

typedef struct KgwColumn
{
	AttrNumber	attnum;			/* InvalidAttrNumber = none */
	KgwColumnKind kind;
	Oid			type;			/* base type */
	bool		text_can_fail;	/* to make it recurses, or takes what it has inside */
	int			money_digits;	/* decimals of money, also within the value */
	FmgrInfo	output;
} KgwColumn;

/*
 * How values of a type are read, be they a column's or parts of one's; attnum stays as
 * it is.  What fmgr keeps of the type's output function is in the current memory context.
 * Raises an error for a type that isn't there, or is a shell.
 */
extern void kgw_column_kind_set(KgwColumn *column, Oid type, int money_digits);

/* The function of a type's cast to json, or InvalidOid. */
extern Oid	kgw_column_kind_json_cast(Oid type);

#endif							/* KGW_CAPTURE_VALUE_COLUMN_KIND_H */
