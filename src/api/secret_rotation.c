/*-------------------------------------------------------------------------
 *
 * secret_rotation.c
 *	  From one signing secret to the next: kg_rotate_secret() and
 *	  kg_cancel_rotation().
 *
 * A rotation only writes down what will happen and when; what signs at a given
 * second is decided by pure/keyring.c.  There is one at a time: with three
 * secrets nobody could say any more which receiver has which.  Its times are
 * whole seconds, like the stamps of attempts.
 *
 * It can be taken back for as long as there is something to go back to, which is
 * until the old secret retires.
 *
 * src/api/secret_rotation.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "api/arguments.h"
#include "api/caller.h"
#include "api/secrets.h"
#include "secrets/encryption.h"
#include "secrets/key_file.h"
#include "secrets/statement_redaction.h"

PG_FUNCTION_INFO_V1(kg_rotate_secret);
PG_FUNCTION_INFO_V1(kg_cancel_rotation);

/* The time that an interval leads to from another, which may not be earlier. */
static TimestampTz
later_by(FunctionCallInfo fcinfo, int n, const char *name, TimestampTz from)
{
	TimestampTz when;

	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name),
				 errhint("Omit it to use its default.")));
	when = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												   TimestampTzGetDatum(from),
												   PG_GETARG_DATUM(n)));
	when -= when % USECS_PER_SEC;
	if (when < from || TIMESTAMP_NOT_FINITE(when))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is %s", name, when < from ? "negative" : "infinite"),
				 errhint("Give an interval such as '24 hours', or '0' for immediately.")));
	return when;
}

/* What the table has of the organization, locked. */
typedef struct KgwPresent
{
	text	   *secret;			/* what signs when nothing else does */
	bool		encrypted;
} KgwPresent;

/* The secret that a rotation begins from; an error when there can be none. */
static void
lock_present(text *org_id, TimestampTz now, KgwPresent *present)
{
	Oid			types[] = {TEXTOID, TIMESTAMPTZOID};
	Datum		args[2];
	bool		isnull;

	args[0] = PointerGetDatum(org_id);
	args[1] = TimestampTzGetDatum(now);
	if (SPI_execute_with_args("SELECT CASE WHEN next_secret IS NULL THEN secret ELSE next_secret END,"
							  " encrypted,"
							  " next_secret IS NOT NULL AND retires_at OPERATOR(pg_catalog.>) $2,"
							  " activates_at, retires_at FROM kgwebhook.secret"
							  " WHERE org_id OPERATOR(pg_catalog.=) $1 FOR UPDATE",
							  2, types, args, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.secret");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("organization \"%s\" has no secret to rotate", text_to_cstring(org_id)),
				 errhint("Give it its first one with kg_create_secret().")));
	if (DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &isnull)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a rotation of organization \"%s\" is under way", text_to_cstring(org_id)),
				 errdetail("The new secret signs the body from %s; the old one retires at %s.",
						   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 4),
						   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 5)),
				 errhint("Wait for its end, or cancel it with kg_cancel_rotation().")));
	present->secret = DatumGetTextPP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
												   1, &isnull));
	present->encrypted = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
													2, &isnull));
}

/* The old secret, kept as the new one will be. */
static text *
keep_old_as(text *org_id, const KgwPresent *present)
{
	bool		by_first;
	text	   *clear;

	if (!present->encrypted)
		return kgw_secrets_as_kept(org_id, present->secret);

	/* it has to sign: if it can't, this is the time to say so */
	clear = kgw_encryption_open(org_id, present->secret, &by_first);
	explicit_bzero(VARDATA_ANY(clear), VARSIZE_ANY_EXHDR(clear));
	return present->secret;
}

static void
begin_rotation(text *org_id, text *secret, TimestampTz now, TimestampTz activates_at,
			   TimestampTz retires_at)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, BOOLOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		args[6];
	KgwPresent	present;

	SPI_connect();
	kgw_caller_check_organization(org_id);
	lock_present(org_id, now, &present);
	args[0] = PointerGetDatum(org_id);
	args[1] = PointerGetDatum(keep_old_as(org_id, &present));
	args[2] = PointerGetDatum(kgw_secrets_as_kept(org_id, secret));
	args[3] = BoolGetDatum(kgw_key_file_set());
	args[4] = TimestampTzGetDatum(activates_at);
	args[5] = TimestampTzGetDatum(retires_at);
	if (SPI_execute_with_args("UPDATE kgwebhook.secret SET secret = $2, next_secret = $3,"
							  " encrypted = $4, activates_at = $5, retires_at = $6,"
							  " created_at = pg_catalog.now()"
							  " WHERE org_id OPERATOR(pg_catalog.=) $1",
							  6, types, args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write kgwebhook.secret");
	SPI_finish();
}

/*
 * kg_rotate_secret(org_id text, activate_after interval, keep_old interval) -> text
 */
Datum
kg_rotate_secret(PG_FUNCTION_ARGS)
{
	text	   *org_id = kgw_arguments_org_id(fcinfo, 0);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz activates_at;
	TimestampTz retires_at;
	KgwDiscretion discretion;
	text	   *secret;

	now -= now % USECS_PER_SEC;
	activates_at = later_by(fcinfo, 1, "activate_after", now);
	retires_at = later_by(fcinfo, 2, "keep_old", activates_at);
	secret = kgw_secrets_make();
	kgw_statement_redaction_begin(&discretion, NULL);
	begin_rotation(org_id, secret, now, activates_at, retires_at);
	kgw_statement_redaction_end(&discretion);
	PG_RETURN_TEXT_P(secret);
}

/*
 * Lock the organization's row and see that its rotation can be taken back.  True
 * when the new secret has signed bodies already.
 */
static bool
lock_rotation(text *org_id, TimestampTz now)
{
	Oid			types[] = {TEXTOID, TIMESTAMPTZOID};
	Datum		args[2];
	HeapTuple	row;
	TupleDesc	desc;
	KgwPresent	old;
	bool		isnull;

	args[0] = PointerGetDatum(org_id);
	args[1] = TimestampTzGetDatum(now);
	if (SPI_execute_with_args("SELECT secret, encrypted, activates_at OPERATOR(pg_catalog.<=) $2"
							  " FROM kgwebhook.secret WHERE org_id OPERATOR(pg_catalog.=) $1"
							  " AND next_secret IS NOT NULL AND retires_at OPERATOR(pg_catalog.>) $2 FOR UPDATE",
							  2, types, args, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.secret");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no rotation of organization \"%s\" is under way", text_to_cstring(org_id)),
				 errdetail("One is under way from kg_rotate_secret() until the old secret retires."),
				 errhint("kg_rotate_secret() begins one; kg_set_secret() goes back to a secret that has retired, if you have it.")));
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	old.secret = DatumGetTextPP(SPI_getbinval(row, desc, 1, &isnull));
	old.encrypted = DatumGetBool(SPI_getbinval(row, desc, 2, &isnull));
	if (old.encrypted)
		(void) keep_old_as(org_id, &old);
	return DatumGetBool(SPI_getbinval(row, desc, 3, &isnull)) && !isnull;
}

/*
 * kg_cancel_rotation(org_id text)
 */
Datum
kg_cancel_rotation(PG_FUNCTION_ARGS)
{
	text	   *org_id = kgw_arguments_org_id(fcinfo, 0);
	Oid			types[] = {TEXTOID};
	Datum		args[1];
	KgwDiscretion discretion;
	bool		active;

	args[0] = PointerGetDatum(org_id);
	kgw_statement_redaction_begin(&discretion, NULL);
	SPI_connect();
	kgw_caller_check_organization(org_id);
	active = lock_rotation(org_id, GetCurrentTimestamp());
	if (SPI_execute_with_args("UPDATE kgwebhook.secret SET next_secret = NULL,"
							  " activates_at = NULL, retires_at = NULL"
							  " WHERE org_id OPERATOR(pg_catalog.=) $1",
							  1, types, args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write kgwebhook.secret");
	SPI_finish();
	kgw_statement_redaction_end(&discretion);
	if (active)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("the new secret of organization \"%s\" has signed already", text_to_cstring(org_id)),
				 errdetail("From now on only the old one signs; a receiver that has changed over refuses what comes, and is tried again."),
				 errhint("See that the receiver has the old secret.")));
	PG_RETURN_VOID();
}
