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
 * A subscription that has a secret of its own rotates that one, by the same rules.
 *
 * It can be taken back for as long as there is something to go back to, which is
 * until the old secret retires.
 *
 * src/api/keys/secret_rotation.c
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

#include "api/keys/secrets.h"
#include "secrets/encryption.h"
#include "secrets/key_file.h"
#include "secrets/statement_redaction.h"

PG_FUNCTION_INFO_V1(kg_rotate_secret);
PG_FUNCTION_INFO_V1(kg_cancel_rotation);
PG_FUNCTION_INFO_V1(kg_rotate_subscription_secret);
PG_FUNCTION_INFO_V1(kg_cancel_subscription_rotation);

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
lock_present(const KgwSecretOf *of, TimestampTz now, KgwPresent *present)
{
	Oid			types[] = {TEXTOID, TIMESTAMPTZOID, INT8OID};
	Datum		args[3];
	bool		isnull;

	args[0] = PointerGetDatum(of->org_id);
	args[1] = TimestampTzGetDatum(now);
	args[2] = Int64GetDatum(of->subscription_id);
	if (SPI_execute_with_args("SELECT CASE WHEN next_secret IS NULL THEN secret ELSE next_secret END,"
							  " encrypted,"
							  " next_secret IS NOT NULL AND retires_at OPERATOR(pg_catalog.>) $2,"
							  " activates_at, retires_at FROM kgwebhook.secret"
							  " WHERE org_id OPERATOR(pg_catalog.=) $1 AND subscription_id OPERATOR(pg_catalog.=) $3 FOR UPDATE",
							  3, types, args, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.secret");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s has no secret to rotate", kgw_secrets_holder(of)),
				 errhint("Give it its first one with kg_create_secret().")));
	if (DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &isnull)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a rotation of %s is under way", kgw_secrets_holder(of)),
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
keep_old_as(const KgwSecretOf *of, const KgwPresent *present)
{
	KgwSealedName name = {KGW_SEALED_SECRET, of->subscription_id, NULL};
	text	   *clear;

	if (!present->encrypted)
		return kgw_secrets_as_kept(of->org_id, present->secret);

	/* it has to sign: if it can't, this is the time to say so */
	clear = kgw_encryption_open(of->org_id, present->secret, true, NULL, &name);
	explicit_bzero(VARDATA_ANY(clear), VARSIZE_ANY_EXHDR(clear));
	return present->secret;
}

static void
begin_rotation(const KgwSecretOf *of, text *secret, TimestampTz now, TimestampTz activates_at,
			   TimestampTz retires_at)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, BOOLOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID};
	Datum		args[7];
	KgwPresent	present;

	lock_present(of, now, &present);
	args[0] = PointerGetDatum(of->org_id);
	args[1] = PointerGetDatum(keep_old_as(of, &present));
	args[2] = PointerGetDatum(kgw_secrets_as_kept(of->org_id, secret));
	args[3] = BoolGetDatum(kgw_key_file_set());
	args[4] = TimestampTzGetDatum(activates_at);
	args[5] = TimestampTzGetDatum(retires_at);
	args[6] = Int64GetDatum(of->subscription_id);
	if (SPI_execute_with_args("UPDATE kgwebhook.secret SET secret = $2, next_secret = $3,"
							  " encrypted = $4, activates_at = $5, retires_at = $6,"
							  " created_at = pg_catalog.now()"
							  " WHERE org_id OPERATOR(pg_catalog.=) $1 AND subscription_id OPERATOR(pg_catalog.=) $7",
							  7, types, args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write kgwebhook.secret");
}

static Datum
rotate(FunctionCallInfo fcinfo, bool of_subscription)
{
	KgwSecretOf of;
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
	SPI_connect();
	kgw_secrets_find(fcinfo, of_subscription, &of);
	begin_rotation(&of, secret, now, activates_at, retires_at);
	SPI_finish();
	kgw_statement_redaction_end(&discretion);
	PG_RETURN_TEXT_P(secret);
}

/*
 * kg_rotate_secret(org_id text, activate_after interval, keep_old interval) -> text
 */
Datum
kg_rotate_secret(PG_FUNCTION_ARGS)
{
	return rotate(fcinfo, false);
}

/*
 * kg_rotate_secret(subscription_id bigint, activate_after interval, keep_old interval) -> text
 */
Datum
kg_rotate_subscription_secret(PG_FUNCTION_ARGS)
{
	return rotate(fcinfo, true);
}

/*
 * Lock the secret's row and see that its rotation can be taken back.  True
 * when the new secret has signed bodies already.
 */
static bool
lock_rotation(const KgwSecretOf *of, TimestampTz now)
{
	Oid			types[] = {TEXTOID, TIMESTAMPTZOID, INT8OID};
	Datum		args[3];
	HeapTuple	row;
	TupleDesc	desc;
	KgwPresent	old;
	bool		isnull;

	args[0] = PointerGetDatum(of->org_id);
	args[1] = TimestampTzGetDatum(now);
	args[2] = Int64GetDatum(of->subscription_id);
	if (SPI_execute_with_args("SELECT secret, encrypted, activates_at OPERATOR(pg_catalog.<=) $2"
							  " FROM kgwebhook.secret WHERE org_id OPERATOR(pg_catalog.=) $1"
							  " AND subscription_id OPERATOR(pg_catalog.=) $3"
							  " AND next_secret IS NOT NULL AND retires_at OPERATOR(pg_catalog.>) $2 FOR UPDATE",
							  3, types, args, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.secret");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no rotation of %s is under way", kgw_secrets_holder(of)),
				 errdetail("One is under way from kg_rotate_secret() until the old secret retires."),
				 errhint("kg_rotate_secret() begins one; kg_set_secret() goes back to a secret that has retired, if you have it.")));
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	old.secret = DatumGetTextPP(SPI_getbinval(row, desc, 1, &isnull));
	old.encrypted = DatumGetBool(SPI_getbinval(row, desc, 2, &isnull));
	if (old.encrypted)
		(void) keep_old_as(of, &old);
	return DatumGetBool(SPI_getbinval(row, desc, 3, &isnull)) && !isnull;
}

static Datum
cancel(FunctionCallInfo fcinfo, bool of_subscription)
{
	KgwSecretOf of;
	char	   *holder;
	MemoryContext caller = CurrentMemoryContext;
	Oid			types[] = {TEXTOID, INT8OID};
	Datum		args[2];
	KgwDiscretion discretion;
	bool		active;

	kgw_statement_redaction_begin(&discretion, NULL);
	SPI_connect();
	kgw_secrets_find(fcinfo, of_subscription, &of);
	args[0] = PointerGetDatum(of.org_id);
	args[1] = Int64GetDatum(of.subscription_id);
	active = lock_rotation(&of, GetCurrentTimestamp());
	if (SPI_execute_with_args("UPDATE kgwebhook.secret SET next_secret = NULL,"
							  " activates_at = NULL, retires_at = NULL"
							  " WHERE org_id OPERATOR(pg_catalog.=) $1 AND subscription_id OPERATOR(pg_catalog.=) $2",
							  2, types, args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write kgwebhook.secret");
	holder = MemoryContextStrdup(caller, kgw_secrets_holder(&of));
	SPI_finish();
	kgw_statement_redaction_end(&discretion);
	if (active)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("the new secret of %s has signed already", holder),
				 errdetail("From now on only the old one signs; a receiver that has changed over refuses what comes, and is tried again."),
				 errhint("See that the receiver has the old secret.")));
	PG_RETURN_VOID();
}

/*
 * kg_cancel_rotation(org_id text)
 */
Datum
kg_cancel_rotation(PG_FUNCTION_ARGS)
{
	return cancel(fcinfo, false);
}

/*
 * kg_cancel_rotation(subscription_id bigint)
 */
Datum
kg_cancel_subscription_rotation(PG_FUNCTION_ARGS)
{
	return cancel(fcinfo, true);
}
