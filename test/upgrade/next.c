/*-------------------------------------------------------------------------
 *
 * next.c
 *	  What the library of the next version has and this one lacks; see next.sql.
 *
 * test/upgrade/next.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(kg_next_library);

/*
 * kgwebhook.next_library() -> text: the version of the library.
 */
Datum
kg_next_library(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(KGW_VERSION));
}
