/*-------------------------------------------------------------------------
 *
 * secret_cache.c
 *	  The signing secrets of organizations, and their signing keys.
 *
 * A worker keeps a keyring for each organization it has lately sent for; the
 * text of a secret is wiped as soon as its signer has been made.  That an
 * organization has none, or one that cannot be decrypted at present, is
 * remembered too.  kgw_secret_cache_forget() is called when someone has changed a
 * secret, and at a reload, which may bring another key file.
 *
 * A subscription may have a secret of its own, which then signs instead of the
 * organization's, and never both: its receiver knows only the one.  That a subscription has none
 * is remembered like a secret.
 *
 * What cannot be decrypted keeps those waiting that need it (undecryptable.c): a secret of the
 * organization's or a signing key all of its deliveries, what is a subscription's or the
 * own URLs' those.
 *
 * A secret must never reach a log line, an error message or a column other
 * than its own: nothing here formats one.
 *
 * src/secrets/secret_cache.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "pg/clock.h"
#include "pg/encoding.h"
#include "pg/error_recovery.h"
#include "pure/limits.h"
#include "secrets/client_certificates.h"
#include "secrets/encryption.h"
#include "secrets/endpoint_headers.h"
#include "secrets/secret_cache.h"
#include "secrets/signing_keys.h"
#include "secrets/undecryptable.h"

/* Organizations and subscriptions remembered at a time; past that, all are forgotten. */
#define REMEMBERED_MAX 2048

/* Columns of the query below, from 1. */
enum
{
	SECRET = 1, NEXT_SECRET, ACTIVATES_AT, RETIRES_AT, ENCRYPTED, SUBSCRIPTION_ID
};

typedef struct KgwRemembered
{
	KgwSecretHolder holder;		/* hash key */
	bool		has_own;		/* else the organization's is what counts */
	KgwKeyring	keyring;
} KgwRemembered;

static const char no_secret[] = "the organization has no signing secret yet";
static const char secret_not_decrypted[] = "the organization's signing secret cannot be decrypted at present";
static const char own_secret_not_decrypted[] = "the subscription's signing secret cannot be decrypted at present";
static const char key_not_decrypted[] = "the organization's signing key cannot be decrypted at present";

static HTAB *keyrings;
static bool retired;			/* one that was remembered has retired */

/* What of a holder is read for whom. */
typedef struct KgwHolderWants
{
	bool		only_own;		/* a worker's: the organization's isn't looked for in place of the subscription's,
								 * and an endpoint's faults are noted */
	bool		bodies;			/* nothing that only a request needs */
	const char *reading;		/* the fault it is if this cannot be decrypted */
} KgwHolderWants;

static KgwSigner *
make_signer(text *org_id, Datum secret, bool encrypted, const KgwSealedName *name)
{
	text	   *value = kgw_encryption_open(org_id, DatumGetTextPP(secret), encrypted, NULL, name);
	KgwSigner  *signer = kgw_signature_signer_new(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));

	explicit_bzero(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	if (signer == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not prepare a signing secret")));
	return signer;
}

static void
fill_keyring(text *org_id, HeapTuple row, TupleDesc desc, KgwKeyring *keyring)
{
	Datum		values[SUBSCRIPTION_ID + 1];
	bool		nulls[SUBSCRIPTION_ID + 1];
	bool		encrypted;
	KgwSealedName name = {.kind = KGW_SEALED_SECRET};

	for (int i = SECRET; i <= SUBSCRIPTION_ID; i++)
		values[i] = SPI_getbinval(row, desc, i, &nulls[i]);
	encrypted = DatumGetBool(values[ENCRYPTED]);
	name.subscription_id = DatumGetInt64(values[SUBSCRIPTION_ID]);
	if (!nulls[NEXT_SECRET])
	{
		keyring->activates_at = nulls[ACTIVATES_AT] ? INT64_MAX : kgw_clock_second_of(DatumGetTimestampTz(values[ACTIVATES_AT]));
		keyring->retires_at = nulls[RETIRES_AT] ? INT64_MAX : kgw_clock_second_of(DatumGetTimestampTz(values[RETIRES_AT]));
		keyring->next = make_signer(org_id, values[NEXT_SECRET], encrypted, &name);
	}
	if (!kgw_keyring_retired(keyring, kgw_clock_unix()))
		keyring->current = make_signer(org_id, values[SECRET], encrypted, &name);
	else
	{
		keyring->current = keyring->next;
		keyring->next = NULL;
		retired = true;
	}
}

static void
clear_keyring(int code, Datum keyring)
{
	kgw_keyring_clear((KgwKeyring *) DatumGetPointer(keyring));
}

/*
 * The keyring of an organization, or of one of its subscriptions; the caller clears it.  It has a fault when there is
 * no secret.  Needs SPI to be connected and rights on kgwebhook.secret.  An error
 * when something cannot be decrypted.  Whether there is a secret.
 */
static bool
query_keyring(const char *org_id, int64 subscription_id, KgwHolderWants *wanted, KgwKeyring *keyring)
{
	Oid			types[] = {TEXTOID, INT8OID, INT8OID};
	Datum		args[3];
	SPITupleTable *table;
	bool		found;

	memset(keyring, 0, sizeof(*keyring));
	args[0] = CStringGetTextDatum(org_id);
	args[1] = Int64GetDatum(subscription_id);
	args[2] = Int64GetDatum(wanted->only_own ? subscription_id : 0);
	if (SPI_execute_with_args("SELECT secret, next_secret, activates_at, retires_at, encrypted, subscription_id"
							  " FROM kgwebhook.secret WHERE org_id OPERATOR(pg_catalog.=) $1"
							  "   AND (subscription_id OPERATOR(pg_catalog.=) $2 OR subscription_id OPERATOR(pg_catalog.=) $3)"
							  " ORDER BY subscription_id DESC",
							  3, types, args, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.secret");
	table = SPI_tuptable;
	found = table->numvals > 0;
	if (!found)
		keyring->fault = no_secret;
	else
	{
		/* also when the process ends within: a core dump shall not have it */
		PG_ENSURE_ERROR_CLEANUP(clear_keyring, PointerGetDatum(keyring));
		{
			wanted->reading = subscription_id != 0 ? own_secret_not_decrypted : secret_not_decrypted;
			fill_keyring(DatumGetTextPP(args[0]), table->vals[0], table->tupdesc, keyring);
			wanted->reading = key_not_decrypted;
			if (kgw_signing_keys_load(args[0], keyring))
				retired = true;
			if (!wanted->bodies)
			{
				kgw_client_certificates_load(args[0], args[1], wanted->only_own, keyring);
				kgw_endpoint_headers_load(args[0], args[1], wanted->only_own, keyring);
			}
		}
		PG_END_ENSURE_ERROR_CLEANUP(clear_keyring, PointerGetDatum(keyring));
	}
	SPI_freetuptable(table);
	return found;
}

/*
 * As above, for requests of a subscription or, by 0, to own URLs; or for bodies only, which nothing
 * but the secret has a part in.  The subscription's own secret, else the organization's.
 */
void
kgw_secret_cache_read(const char *org_id, int64 subscription_id, bool bodies, KgwKeyring *keyring)
{
	KgwHolderWants	wanted = {.bodies = bodies};

	(void) query_keyring(org_id, subscription_id, &wanted, keyring);
}

typedef struct KgwRead
{
	const char *org_id;			/* in UTF-8, as deliveries have it */
	int64		subscription_id;
	KgwHolderWants	wanted;
	KgwKeyring *keyring;
	bool		found;
} KgwRead;

static void
read_keyring(void *arg)
{
	KgwRead    *r = arg;

	r->found = query_keyring(kgw_encoding_to_server(r->org_id, strlen(r->org_id)), r->subscription_id,
							 &r->wanted, r->keyring);
}

/*
 * The holder's very own, and whether it has one; what cannot be decrypted is the
 * keyring's fault.
 */
static bool
read_guarded(const char *org_id, int64 subscription_id, KgwKeyring *keyring)
{
	KgwRead		r = {org_id, subscription_id, {.only_own = true}, keyring, true};

	if (!kgw_undecryptable_note(kgw_error_recovery_subtransaction(read_keyring, &r)))
		return r.found;
	keyring->fault = r.wanted.reading;
	return true;
}

static void
create_secret_cache(void)
{
	HASHCTL		ctl = {0};

	ctl.keysize = sizeof(KgwSecretHolder);
	ctl.entrysize = sizeof(KgwRemembered);
	keyrings = hash_create("kgwebhook signers", 64, &ctl, HASH_ELEM | HASH_BLOBS);
}

/* What is remembered of a holder, or NULL. */
static KgwRemembered *
find_holder(const char *org_id, int64 subscription_id, HASHACTION action, bool *found)
{
	KgwSecretHolder holder = kgw_secret_cache_holder(org_id, subscription_id);

	return hash_search(keyrings, &holder, action, found);
}

/*
 * The keyring of a subscription (0: of the organization's own URLs) that is remembered, else
 * NULL.  One in which a secret has retired since isn't: it has to be read again.
 */
const KgwKeyring *
kgw_secret_cache_known(const char *org_id, int64 subscription_id)
{
	KgwRemembered *entry = NULL;

	if (keyrings != NULL && strlen(org_id) <= KGW_ORG_ID_MAX)
		entry = find_holder(org_id, subscription_id, HASH_FIND, NULL);
	if (entry != NULL && !entry->has_own)
		entry = find_holder(org_id, 0, HASH_FIND, NULL);
	if (entry == NULL || kgw_keyring_retired(&entry->keyring, kgw_clock_unix()) ||
		kgw_keyring_key_retired(&entry->keyring, kgw_clock_unix()))
		return NULL;
	return &entry->keyring;
}

/* Read what a holder has of its own, and remember it. */
static const KgwRemembered *
load_holder(const char *org_id, int64 subscription_id)
{
	KgwKeyring	keyring;
	bool		has_own = read_guarded(org_id, subscription_id, &keyring) || subscription_id == 0;
	bool		found;
	KgwRemembered *entry = find_holder(org_id, subscription_id, HASH_ENTER, &found);

	if (found)
		kgw_keyring_clear(&entry->keyring);
	entry->has_own = has_own;
	entry->keyring = keyring;
	return entry;
}

/*
 * Read the secrets of a subscription, or of an organization (0), and remember them.  The
 * keyring is ours; it is good until kgw_secret_cache_forget() or the next load.
 */
const KgwKeyring *
kgw_secret_cache_load(const char *org_id, int64 subscription_id)
{
	static const KgwKeyring none = {.fault = no_secret};
	const KgwRemembered *entry;
	const KgwKeyring *known;

	if (keyrings == NULL)
		create_secret_cache();
	if (hash_get_num_entries(keyrings) >= REMEMBERED_MAX)
		kgw_secret_cache_forget();

	/* an organization whose name doesn't fit can't have been given a secret */
	if (strlen(org_id) > KGW_ORG_ID_MAX)
		return &none;
	if (subscription_id != 0)
	{
		entry = load_holder(org_id, subscription_id);
		if (entry->has_own)
			return &entry->keyring;
		known = kgw_secret_cache_known(org_id, 0);
		if (known != NULL)
			return known;
	}
	return &load_holder(org_id, 0)->keyring;
}

/* Forget all of them and wipe their keys. */
void
kgw_secret_cache_forget(void)
{
	HASH_SEQ_STATUS scan;
	KgwRemembered *entry;

	kgw_undecryptable_forget();
	if (keyrings == NULL)
		return;
	hash_seq_init(&scan, keyrings);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		kgw_keyring_clear(&entry->keyring);
		hash_search(keyrings, &entry->holder, HASH_REMOVE, NULL);
	}
}

/* Whether a secret has been met since the last call that has retired. */
bool
kgw_secret_cache_retired(void)
{
	bool		result = retired;

	retired = false;
	return result;
}
