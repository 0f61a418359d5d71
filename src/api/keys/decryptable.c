/*-------------------------------------------------------------------------
 *
 * decryptable.c
 *	  kgwebhook.is_decryptable(): whether the key file has the key of what is kept.
 *
 * kg_status(), kg_explain() and kg_check_setup() ask it of secrets, private keys and
 * headers alike, and only they: what is decrypted is wiped here, and nothing of it, nor
 * of its length, is told.
 *
 * src/api/keys/decryptable.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#include "pg/compat.h"
#include "pg/error_recovery.h"
#include "secrets/encryption.h"

PG_FUNCTION_INFO_V1(kg_is_decryptable);

typedef struct KgwLocked
{
	text	   *org_id;
	text	   *kept;
} KgwLocked;

static void
decrypt(void *arg)
{
	KgwLocked  *k = arg;
	text	   *clear = kgw_encryption_open(k->org_id, k->kept, true, NULL, NULL);

	explicit_bzero(VARDATA_ANY(clear), VARSIZE_ANY_EXHDR(clear));
}

/*
 * kgwebhook.is_decryptable(org_id text, kept text) -> boolean
 */
Datum
kg_is_decryptable(PG_FUNCTION_ARGS)
{
	KgwLocked	k = {PG_GETARG_TEXT_PP(0), PG_GETARG_TEXT_PP(1)};
	ErrorData  *error = kgw_error_recovery_subtransaction(decrypt, &k);

	if (error == NULL)
		PG_RETURN_BOOL(true);
	if (error->sqlerrcode != ERRCODE_CONFIG_FILE_ERROR)
		ReThrowError(error);
	FreeErrorData(error);
	PG_RETURN_BOOL(false);
}
