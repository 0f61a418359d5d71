/*-------------------------------------------------------------------------
 *
 * secrets.c
 *	  The signing secrets of organisations.
 *
 * A worker keeps a signer for each organisation it has lately sent for; the
 * text of the secret is wiped as soon as the signer has been made.  That an
 * organisation has none is remembered too.  kgw_secrets_forget() is called when
 * somebody has changed a secret.
 *
 * A secret must never reach a log line, an error message or a column other
 * than its own: nothing here formats one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "services/secrets.h"

/* Organisations remembered at a time; past that, all are forgotten. */
#define REMEMBERED_MAX 1024

typedef struct KgwRemembered
{
	char		org_id[KGW_ORG_ID_MAX + 1]; /* hash key */
	KgwSigner  *signer;			/* NULL = has no secret */
} KgwRemembered;

static HTAB *remembered;

static KgwSigner *
make_signer(Datum secret)
{
	text	   *value = DatumGetTextPP(secret);
	KgwSigner  *signer = kgw_signer_new(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));

	OPENSSL_cleanse(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	if (signer == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not prepare a signing secret")));
	return signer;
}

/*
 * A signer for the organisation, or NULL when it has no secret.  The caller
 * frees it.  Needs SPI to be connected and rights on kgwebhook.secret.
 */
KgwSigner *
kgw_secrets_read(const char *org_id)
{
	Oid			types[] = {TEXTOID};
	Datum		args[1];
	KgwSigner  *signer = NULL;
	bool		isnull;

	args[0] = CStringGetTextDatum(org_id);
	if (SPI_execute_with_args("SELECT secret FROM kgwebhook.secret"
							  " WHERE org_id OPERATOR(pg_catalog.=) $1",
							  1, types, args, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.secret");
	if (SPI_processed == 1)
		signer = make_signer(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
										   1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return signer;
}

static void
create_memory(void)
{
	HASHCTL		ctl = {0};

	ctl.keysize = sizeof(((KgwRemembered *) 0)->org_id);
	ctl.entrysize = sizeof(KgwRemembered);
	remembered = hash_create("kgwebhook signers", 64, &ctl, HASH_ELEM | HASH_STRINGS);
}

/* Whether an organisation is remembered; *signer is NULL when it has no secret. */
bool
kgw_secrets_known(const char *org_id, KgwSigner **signer)
{
	KgwRemembered *entry = NULL;

	if (remembered != NULL && strlen(org_id) < sizeof(entry->org_id))
		entry = hash_search(remembered, org_id, HASH_FIND, NULL);
	*signer = entry ? entry->signer : NULL;
	return entry != NULL;
}

/*
 * Read an organisation's secret and remember it.  The signer is ours; it is
 * good until kgw_secrets_forget() or the next load.  NULL when it has none.
 */
KgwSigner *
kgw_secrets_load(const char *org_id)
{
	KgwSigner  *signer = NULL;
	KgwRemembered *entry;
	bool		found;

	if (remembered == NULL)
		create_memory();
	if (hash_get_num_entries(remembered) >= REMEMBERED_MAX)
		kgw_secrets_forget();

	/* an organisation whose name doesn't fit can't have been given a secret */
	if (strlen(org_id) >= sizeof(entry->org_id))
		return NULL;
	signer = kgw_secrets_read(org_id);
	entry = hash_search(remembered, org_id, HASH_ENTER, &found);
	if (found)
		kgw_signer_free(entry->signer);
	entry->signer = signer;
	return signer;
}

/* Forget all of them and wipe their keys. */
void
kgw_secrets_forget(void)
{
	HASH_SEQ_STATUS scan;
	KgwRemembered *entry;

	if (remembered == NULL)
		return;
	hash_seq_init(&scan, remembered);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		kgw_signer_free(entry->signer);
		hash_search(remembered, entry->org_id, HASH_REMOVE, NULL);
	}
}
