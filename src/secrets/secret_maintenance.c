/*-------------------------------------------------------------------------
 *
 * secret_maintenance.c
 *	  Keeping the table of secrets in order.
 *
 * Two things happen to secrets and private keys without anyone's asking: the old one of a
 * rotation that has ended is taken out, and once kgwebhook.key_file is set,
 * what is still in the clear is encrypted.  The worker does both when it starts
 * over from the tables, so at a reload, and the first also at the time itself:
 * it learns of it when it starts over, as it does at each change of the table, and
 * sleeps until then, so a secret leaves where nothing is sent, too.  Should the
 * clock be set forward in the meantime, the first attempt that meets such a secret has it
 * taken out.  Signing never waits for any of that: a secret that has retired
 * signs nothing any more, wherever it still stands.
 *
 * It must never keep the worker from delivering: what fails is logged and left
 * for the next time, and a row that someone is changing is left to them.
 *
 * src/secrets/secret_maintenance.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "pg/clock.h"
#include "pg/error_recovery.h"
#include "pg/extension.h"
#include "pg/transaction.h"
#include "secrets/key_file.h"
#include "secrets/secret_cache.h"
#include "secrets/secret_maintenance.h"
#include "secrets/statement_redaction.h"
#include "secrets/undecryptable.h"

/* Which rows a pass is about. */
typedef enum KgwPass
{
	PASS_RETIRED,				/* an old secret to be taken out */
	PASS_CLEAR,					/* to be encrypted */
	PASS_ALL					/* encrypted by the file's first key, all of them */
} KgwPass;

static const char *const pass_queries[] = {
	[PASS_RETIRED] = (" WHERE retires_at OPERATOR(pg_catalog.<=) $1"
	" AND activates_at OPERATOR(pg_catalog.<=) $1 FOR UPDATE SKIP LOCKED"),
	[PASS_CLEAR] = " WHERE NOT encrypted FOR UPDATE SKIP LOCKED",
	[PASS_ALL] = " FOR UPDATE"
};

/* After a pass that failed, or left a row to someone who holds it. */
#define PAUSE_AFTER_FAILURE ((KgwTicks) 10 * USECS_PER_MINUTE)

/* When a secret retires next. */
static KgwTicks due = KGW_NEVER;

/* One row of kgwebhook.secret. */
typedef struct KgwCustody
{
	text	   *org_id;
	int64		subscription_id;	/* 0: the organization's */
	KgwSealedKind kind;
	text	   *secret;
	text	   *next;			/* or NULL */
	bool		encrypted;
	bool		over;			/* the rotation is */
	bool		changed;
} KgwCustody;

/* The secret encrypted by the first key, if it isn't already. */
static text *
encrypt(KgwCustody *row, text *secret)
{
	KgwSealedName name = {row->kind, row->subscription_id, NULL};
	bool		by_first;
	text	   *clear;

	if (secret == NULL)
		return NULL;
	clear = kgw_encryption_open(row->org_id, secret, row->encrypted, &by_first, &name);
	if (!by_first)
		secret = kgw_encryption_seal(row->org_id, clear);
	row->changed |= !by_first;
	explicit_bzero(VARDATA_ANY(clear), VARSIZE_ANY_EXHDR(clear));
	return secret;
}

static text *
text_column(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, desc, column, &isnull);

	return isnull ? NULL : DatumGetTextPP(value);
}

static void
read_secret(HeapTuple tuple, TupleDesc desc, KgwCustody *row)
{
	bool		isnull;

	row->kind = KGW_SEALED_SECRET;
	row->org_id = text_column(tuple, desc, 1);
	row->secret = text_column(tuple, desc, 2);
	row->next = text_column(tuple, desc, 3);
	row->encrypted = DatumGetBool(SPI_getbinval(tuple, desc, 4, &isnull));
	row->over = DatumGetBool(SPI_getbinval(tuple, desc, 5, &isnull)) && !isnull;
	row->subscription_id = DatumGetInt64(SPI_getbinval(tuple, desc, 6, &isnull));
	row->changed = false;
}

static void
write_secret(const KgwCustody *row)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, BOOLOID, BOOLOID, INT8OID};
	Datum		args[6];
	char		nulls[] = "      ";

	args[0] = PointerGetDatum(row->org_id);
	args[1] = PointerGetDatum(row->secret);
	args[2] = PointerGetDatum(row->next);
	nulls[2] = row->next == NULL ? 'n' : ' ';
	args[3] = BoolGetDatum(row->encrypted);
	args[4] = BoolGetDatum(row->over);
	args[5] = Int64GetDatum(row->subscription_id);
	if (SPI_execute_with_args("UPDATE kgwebhook.secret SET secret = $2, next_secret = $3,"
							  " encrypted = $4,"
							  " activates_at = CASE WHEN NOT $5 THEN activates_at END,"
							  " retires_at = CASE WHEN NOT $5 THEN retires_at END"
							  " WHERE org_id OPERATOR(pg_catalog.=) $1 AND subscription_id OPERATOR(pg_catalog.=) $6",
							  6, types, args, nulls, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write kgwebhook.secret");
}

static void
tidy_row(KgwPass pass, KgwCustody *row)
{
	if (row->over)
	{
		row->secret = row->next;
		row->next = NULL;
		row->changed = true;
	}
	if (pass != PASS_RETIRED)
	{
		row->secret = encrypt(row, row->secret);
		row->next = encrypt(row, row->next);
		row->encrypted = true;
	}
	if (row->changed)
		write_secret(row);
}

/* What else is kept encrypted, and where. */
typedef struct KgwKeyTable
{
	KgwSealedKind kind;
	const char *name;
	const char *column;
	const char *subscription;	/* whose it is */
} KgwKeyTable;

static const KgwKeyTable key_tables[] = {
	{KGW_SEALED_SIGNING_KEY, "signing_key", "private_key", "0::pg_catalog.int8"},
	{KGW_SEALED_CERTIFICATE, "client_certificate", "private_key", "subscription_id"},
	{KGW_SEALED_HEADERS, "request_header", "lines", "subscription_id"}
};

/* Take out signing keys that have retired. */
static void
remove_retired_keys(TimestampTz now)
{
	Oid			types[] = {TIMESTAMPTZOID};
	Datum		args[1];

	args[0] = TimestampTzGetDatum(now);
	if (SPI_execute_with_args("DELETE FROM kgwebhook.signing_key WHERE key_id OPERATOR(pg_catalog.=) ANY"
							  " (ARRAY(SELECT key_id FROM kgwebhook.signing_key"
							  " WHERE retires_at OPERATOR(pg_catalog.<=) $1 FOR UPDATE SKIP LOCKED))",
							  1, types, args, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not write kgwebhook.signing_key");
}

/* Write what has just been encrypted, in the row that a pass has locked. */
static void
write_key(const KgwKeyTable *keys, Datum ctid, text *private_key)
{
	Oid			types[] = {TIDOID, TEXTOID};
	Datum		args[2];

	args[0] = ctid;
	args[1] = PointerGetDatum(private_key);
	if (SPI_execute_with_args(psprintf("UPDATE kgwebhook.%s SET %s = $2, encrypted = true"
									   " WHERE ctid OPERATOR(pg_catalog.=) $1", keys->name, keys->column),
							  2, types, args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write kgwebhook.%s", keys->name);
}

/* Encrypt what a column of a table keeps secret, in rows that a pass is about; how many were changed. */
static int64
encrypt_keys(const KgwKeyTable *keys, KgwPass pass)
{
	SPITupleTable *table;
	int64		changed = 0;

	if (SPI_execute(psprintf("SELECT ctid, org_id, %s, encrypted, %s"
							 " FROM kgwebhook.%s%s", keys->column, keys->subscription, keys->name, pass_queries[pass]),
					false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.%s", keys->name);
	table = SPI_tuptable;
	for (uint64 i = 0; i < table->numvals; i++)
	{
		HeapTuple	tuple = table->vals[i];
		bool		isnull;
		KgwCustody	row = {.org_id = text_column(tuple, table->tupdesc, 2), .kind = keys->kind};
		text	   *kept;

		row.encrypted = DatumGetBool(SPI_getbinval(tuple, table->tupdesc, 4, &isnull));
		row.subscription_id = DatumGetInt64(SPI_getbinval(tuple, table->tupdesc, 5, &isnull));
		kept = encrypt(&row, text_column(tuple, table->tupdesc, 3));
		if (row.changed)
			write_key(keys, SPI_getbinval(tuple, table->tupdesc, 1, &isnull), kept);
		changed += row.changed;
	}
	SPI_freetuptable(table);
	return changed;
}

/*
 * Make a pass over the rows that it is about; how many were changed, except signing keys
 * that were taken out.
 */
static int64
make_pass(KgwPass pass)
{
	Oid			types[] = {TIMESTAMPTZOID};
	Datum		args[1];
	SPITupleTable *table;
	uint64		count;
	int64		changed = 0;
	int64		now = kgw_clock_unix() -
		(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) SECS_PER_DAY;

	args[0] = TimestampTzGetDatum(now * USECS_PER_SEC);
	if (SPI_execute_with_args(psprintf("SELECT org_id, secret, next_secret, encrypted,"
									   " retires_at OPERATOR(pg_catalog.<=) $1"
									   " AND activates_at OPERATOR(pg_catalog.<=) $1, subscription_id"
									   " FROM kgwebhook.secret%s", pass_queries[pass]),
							  1, types, args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.secret");
	table = SPI_tuptable;
	count = SPI_processed;
	for (uint64 i = 0; i < count; i++)
	{
		KgwCustody	row;

		read_secret(table->vals[i], table->tupdesc, &row);
		tidy_row(pass, &row);
		changed += row.changed;
	}
	SPI_freetuptable(table);
	for (size_t i = 0; pass != PASS_RETIRED && i < lengthof(key_tables); i++)
		changed += encrypt_keys(&key_tables[i], pass);
	if (pass != PASS_RETIRED)
		return changed;
	remove_retired_keys(now * USECS_PER_SEC);
	return changed;
}

/*
 * Encrypt everything by the first key of the key file, which must be set.
 * Returns how many secrets (those of a rotation are one) and private keys were not yet.  Needs SPI to be
 * connected, and rights on kgwebhook.secret.
 */
int64
kgw_secret_maintenance_encrypt_all(void)
{
	return make_pass(PASS_ALL);
}

/*
 * When a pass is to be made for a retirement at this time.  One that the pass has left is either
 * of this very second, whose beginning the clock of seconds tells a little late, or locked by
 * another transaction: so it is asked for again soon at first, and then seldom.
 */
static KgwTicks
pass_for(TimestampTz when)
{
	KgwTicks	now = kgw_clock_ticks();
	TimestampTz wall = GetCurrentTimestamp();
	KgwTicks	next = kgw_clock_due(when, wall, now);

	if (next != KGW_OVERDUE)
		return next;
	return now + (wall - when < USECS_PER_MINUTE ? (KgwTicks) USECS_PER_SEC : PAUSE_AFTER_FAILURE);
}

/* When to make a pass for the secret or the signing key that retires next, if one does. */
static KgwTicks
next_retirement(void)
{
	KgwTicks	next;
	Datum		when;
	bool		isnull;

	if (SPI_execute("SELECT pg_catalog.min(r.at) FROM (SELECT GREATEST(retires_at, activates_at)"
					" FROM kgwebhook.secret"
					" WHERE retires_at IS NOT NULL AND activates_at IS NOT NULL"
					" UNION ALL SELECT retires_at FROM kgwebhook.signing_key"
					" WHERE retires_at IS NOT NULL) r (at)",
					false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.secret");
	when = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	next = isnull ? KGW_NEVER : pass_for(DatumGetTimestampTz(when));
	SPI_freetuptable(SPI_tuptable);
	return next;
}

typedef struct KgwPassRun
{
	KgwPass		pass;
	int64		changed;
} KgwPassRun;

static void
pass_redacted(void *arg)
{
	KgwPassRun *run = arg;
	KgwDiscretion discretion;

	kgw_statement_redaction_begin(&discretion, NULL);
	if (kgw_extension_hold() && OidIsValid(kgw_extension_relation("secret")))
	{
		run->changed = make_pass(run->pass);
		due = next_retirement();
	}
	kgw_statement_redaction_end(&discretion);
}

static void
pass_in_transaction(void *arg)
{
	kgw_transaction_run("keeping secrets", pass_redacted, arg);
}

/* As above; what fails is logged. */
static void
try_pass(KgwPass pass)
{
	KgwPassRun	run = {pass, 0};
	ErrorData  *error = kgw_error_recovery_transaction(pass_in_transaction, &run, NULL);

	if (error != NULL)
	{
		kgw_undecryptable_complain(error);
		FreeErrorData(error);
	}
	else if (run.changed > 0 && pass == PASS_CLEAR)
		ereport(LOG,
				(errmsg("kgwebhook encrypted " INT64_FORMAT " secrets, private keys and headers", run.changed),
				 errhint("VACUUM FULL kgwebhook.secret, kgwebhook.signing_key, kgwebhook.client_certificate,"
						 " kgwebhook.request_header removes their plain text from the tables' files.")));
}

/*
 * What a worker does for the table, in transactions of its own.  Where secrets
 * are to be encrypted on disk, its memory mustn't get there by way of a core
 * file either.
 */
void
kgw_secret_maintenance_run(void)
{
	due = kgw_clock_ticks() + PAUSE_AFTER_FAILURE;	/* unless the pass knows better */
	try_pass(PASS_RETIRED);
	if (!kgw_key_file_set())
		return;
#ifdef __linux__
	(void) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
	try_pass(PASS_CLEAR);
}

/* When kgw_secret_maintenance_run() has something to do next, as far as anyone knows. */
KgwTicks
kgw_secret_maintenance_due(void)
{
	return due;
}
