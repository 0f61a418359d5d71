/*-------------------------------------------------------------------------
 *
 * signed_bodies.c
 *	  Bodies as they would be sent now, for kg_events_since().
 *
 * Who fetches events gets the bytes that a delivery would have: the payload's
 * canonical form with the time of the call, signed with the organization's secret,
 * or the subscription's own.
 * So a receiver verifies both with the same lines.  The keyring is read once for a
 * page of events.
 *
 * A payload that has no canonical form could not be sent either, and has no body.
 *
 * They are told as if they were sent, so what a crash could undo is flushed first: the events
 * themselves, and all whose numbers the cursors say were seen, for a crash would give those
 * to others, which would be passed by.
 *
 * src/api/signed_bodies.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "api/arguments.h"
#include "pg/clock.h"
#include "pg/encoding.h"
#include "pg/jsonb_canonical.h"
#include "queue/wal.h"
#include "secrets/secret_cache.h"

PG_FUNCTION_INFO_V1(kg_signed_bodies);

/* The payload as JSON in UTF-8, or NULL when no body could hold it. */
static const char *
payload_text(Datum payload, size_t *len)
{
	KgwWeight	weight;
	StringInfoData json;

	kgw_value_weight_begin(&weight, KGW_CANONICAL_MAX_BYTES);
	initStringInfo(&json);
	if (!kgw_jsonb_canonical_append(&json, DatumGetJsonbP(payload), &weight))
		return NULL;
	*len = json.len;
	return kgw_encoding_to_wire(json.data, len);
}

/* The body, stamped and signed; false when the payload has none. */
static bool
seal_body(Datum payload, KgwSigner *signer, int64 now, Datum *body)
{
	KgwJcs	   *canonical = kgw_jsonb_canonical_workspace();
	KgwMembers	members = {.stamp = true, .timestamp = now, .drop_signature = true};
	char		signature[KGW_SIGNATURE_HEX_SIZE];
	const char *text;
	size_t		len;

	text = payload_text(payload, &len);
	if (text == NULL || kgw_jcs_run(canonical, text, len, &members) != KGW_CANONICAL_OK)
		return false;
	text = kgw_jcs_text(canonical, &len);
	if (!kgw_signature_signer_body(signer, text, len, signature))
		return false;
	text = kgw_jcs_seal(canonical, signature, &len);
	*body = CStringGetTextDatum(kgw_encoding_to_server(text, len));
	return true;
}

static ArrayType *
seal_all(ArrayType *payloads, KgwSigner *signer)
{
	int64		now = kgw_clock_unix();
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	int			lower = 1;

	deconstruct_array(payloads, JSONBOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
		nulls[i] = nulls[i] || !seal_body(elements[i], signer, now, &elements[i]);
	return construct_md_array(elements, nulls, 1, &count, &lower, TEXTOID, -1, false, TYPALIGN_INT);
}

/*
 * kgwebhook.signed_bodies(org_id text, payloads jsonb[], subscription_id bigint) -> text[]
 */
Datum
kg_signed_bodies(PG_FUNCTION_ARGS)
{
	const char *org_id = text_to_cstring(kgw_arguments_org_id(fcinfo, 0));
	ArrayType  *payloads = PG_GETARG_ARRAYTYPE_P(1);
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext spi;
	KgwKeyring	keyring;
	KgwSigner  *signers[KGW_KEYRING_MAX];
	ArrayType  *bodies = NULL;

	if (ARR_NDIM(payloads) > 0 && !RecoveryInProgress())
		(void) kgw_wal_flush();
	SPI_connect();
	kgw_secret_cache_read(org_id, PG_GETARG_INT64(2), true, &keyring);
	if (keyring.fault != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("organization \"%s\" has no signing secret", org_id),
				 errdetail("Its events cannot be signed until it has one."),
				 errhint("SELECT kg_create_secret('%s').", org_id)));
	spi = MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		if (kgw_keyring_signers(&keyring, kgw_clock_unix(), signers) > 0)
			bodies = seal_all(payloads, signers[0]);
	}
	PG_FINALLY();
	{
		kgw_keyring_clear(&keyring);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(spi);
	SPI_finish();
	if (bodies == NULL)
		PG_RETURN_NULL();
	PG_RETURN_ARRAYTYPE_P(bodies);
}
