/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  kg_canonical_json(), kg_sign() and kg_verify(): what a receiver's author
 *	  needs to hold against an implementation of their own.
 *
 * They use the very code that signs deliveries, touch no table, and are open
 * to everyone.  kg_verify() says why it refuses, because "invalid signature"
 * is what receivers' authors lose their days to.
 *
 * src/api/verify.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "pg/encoding.h"
#include "pg/jsonb_canonical.h"
#include "pure/signature.h"

PG_FUNCTION_INFO_V1(kg_canonical_json);
PG_FUNCTION_INFO_V1(kg_sign);
PG_FUNCTION_INFO_V1(kg_verify);

/* Seconds from the Unix epoch to PostgreSQL's. */
#define EPOCH_SECONDS \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

static const char not_canonical[] = "document cannot be canonicalized exactly";
static const char not_signed[] = "payload cannot be signed";

static void
refuse_payload(KgwJcs *canonical, KgwJcsStatus status, const char *what)
{
	const char *hint = kgw_jcs_hint(canonical);

	ereport(ERROR,
			(errcode(kgw_jsonb_canonical_errcode(status)),
			 errmsg("%s", what),
			 errdetail("%s", kgw_jsonb_canonical_detail(canonical)),
			 *hint ? errhint("%s", hint) : 0));
}

/* The document's text; an error when it is too heavy to be turned into text at all. */
static const char *
document_text(Jsonb *jsonb, const char *what, size_t *len)
{
	KgwWeight	weight;
	const char *text;

	kgw_value_weight_begin(&weight, KGW_CANONICAL_MAX_BYTES);
	text = kgw_jsonb_canonical_text(jsonb, &weight, len);
	if (text == NULL)
		ereport(ERROR,
				(errcode(kgw_jsonb_canonical_errcode(weight.status)),
				 errmsg("%s", what),
				 errdetail("%s", kgw_jsonb_canonical_sentence(weight.fault)),
				 errhint("%s", kgw_jcs_status_hint(weight.status))));
	return text;
}

static text *
text_from_utf8(const char *utf8, size_t len)
{
	char	   *native = kgw_encoding_to_server(utf8, len);

	return native == utf8 ? cstring_to_text_with_len(utf8, len) : cstring_to_text(native);
}

/*
 * kg_canonical_json(jsonb) -> text: RFC 8785.  Raises an error for what has no
 * exact canonical form.
 */
Datum
kg_canonical_json(PG_FUNCTION_ARGS)
{
	size_t		len;
	const char *document = document_text(PG_GETARG_JSONB_P(0), not_canonical, &len);
	KgwJcs *canonical = kgw_jsonb_canonical_workspace();
	KgwJcsStatus status = kgw_jcs_run(canonical, document, len, NULL);

	if (status != KGW_CANONICAL_OK)
		refuse_payload(canonical, status, not_canonical);
	document = kgw_jcs_text(canonical, &len);
	PG_RETURN_TEXT_P(text_from_utf8(document, len));
}

/* A signer for a secret that the caller gave. */
static KgwSigner *
signer_of(text *secret)
{
	KgwSigner  *signer;

	if (VARSIZE_ANY_EXHDR(secret) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("secret is empty"),
				 errhint("Give the secret exactly as it was issued.")));
	signer = kgw_signature_signer_new(VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret));
	if (signer == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return signer;
}

/* Sign the workspace's canonical text. */
static void
sign_canonical(KgwJcs *canonical, text *secret, char hex[KGW_SIGNATURE_HEX_SIZE])
{
	KgwSigner  *signer = signer_of(secret);
	size_t		len;
	const char *document = kgw_jcs_text(canonical, &len);
	bool		signed_ok = kgw_signature_signer_body(signer, document, len, hex);

	kgw_signature_signer_free(signer);
	if (!signed_ok)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute a signature")));
}

/* Whether the payload says itself when it was signed. */
static bool
has_timestamp(Jsonb *payload)
{
	JsonbValue *value = getKeyJsonValueFromContainer(&payload->root, "timestamp", 9, NULL);

	return value != NULL && value->type != jbvNull;
}

/* The payload's own timestamp decides; without one it is stamped now. */
static KgwJcsStatus
canonicalise_for_signing(KgwJcs *canonical, Jsonb *payload)
{
	KgwMembers	members = {.drop_signature = true};
	size_t		len;
	const char *document = document_text(payload, not_signed, &len);
	KgwJcsStatus status = kgw_jcs_run(canonical, document, len, &members);
	int64_t		timestamp;

	if (status != KGW_CANONICAL_OK || kgw_jcs_timestamp(canonical, &timestamp))
		return status;
	if (has_timestamp(payload))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("payload cannot be signed"),
				 errdetail("Its member \"timestamp\" is not a whole number of seconds."),
				 errhint("Give Unix seconds, or leave it out to have the payload stamped now.")));
	members.stamp = true;
	members.timestamp = GetCurrentTransactionStartTimestamp() / USECS_PER_SEC + EPOCH_SECONDS;
	return kgw_jcs_run(canonical, document, len, &members);
}

/*
 * kg_sign(payload jsonb, secret text) -> text: the body of design A1.
 */
Datum
kg_sign(PG_FUNCTION_ARGS)
{
	KgwJcs *canonical = kgw_jsonb_canonical_workspace();
	KgwJcsStatus status = canonicalise_for_signing(canonical, PG_GETARG_JSONB_P(0));
	text	   *secret = PG_GETARG_TEXT_PP(1);
	char		signature[KGW_SIGNATURE_HEX_SIZE];
	const char *document;
	size_t		len;

	if (status != KGW_CANONICAL_OK)
		refuse_payload(canonical, status, not_signed);
	sign_canonical(canonical, secret, signature);
	document = kgw_jcs_seal(canonical, signature, &len);
	PG_RETURN_TEXT_P(text_from_utf8(document, len));
}

/* What is said of a body whose signature is right, by its age. */
static const char *
judge_age(int64_t timestamp, Interval *tolerance, TimestampTz at)
{
	TimestampTz stamped;
	TimestampTz oldest;
	TimestampTz newest;

	/* out of a timestamptz's range, and of any tolerance */
	if (timestamp < -EPOCH_SECONDS * 10 || timestamp > EPOCH_SECONDS * 300)
		return timestamp < 0 ? "stale" : "from the future";
	stamped = (timestamp - EPOCH_SECONDS) * USECS_PER_SEC;
	oldest = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval,
													 TimestampTzGetDatum(at),
													 IntervalPGetDatum(tolerance)));
	newest = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
													 TimestampTzGetDatum(at),
													 IntervalPGetDatum(tolerance)));

	/* stamps are whole seconds, so the fraction of the clock's is left aside */
	if (stamped < oldest - oldest % USECS_PER_SEC)
		return "stale";
	if (stamped > newest)
		return "from the future";
	return "valid";
}

static const char *
verify(const char *body, size_t len, text *secret, Interval *tolerance, TimestampTz at)
{
	KgwJcs *canonical = kgw_jsonb_canonical_workspace();
	KgwMembers	members = {.drop_signature = true};
	char		expected[KGW_SIGNATURE_HEX_SIZE];
	const char *given;
	size_t		given_len;
	int64_t		timestamp;

	if (kgw_jcs_run(canonical, body, len, &members) != KGW_CANONICAL_OK)
		return "malformed";
	if (!kgw_jcs_signature(canonical, &given, &given_len))
		return "no signature";
	if (!kgw_jcs_timestamp(canonical, &timestamp))
		return "malformed";
	sign_canonical(canonical, secret, expected);
	if (given == NULL || given_len != KGW_SIGNATURE_HEX_SIZE - 1 ||
		!kgw_signature_equal(given, expected, given_len))
		return "wrong signature";
	return judge_age(timestamp, tolerance, at);
}

/*
 * kg_verify(body text, secret text, tolerance interval, at timestamptz) -> text:
 * 'valid', or what a receiver should refuse the body for.
 */
Datum
kg_verify(PG_FUNCTION_ARGS)
{
	text	   *body = PG_GETARG_TEXT_PP(0);
	size_t		len = VARSIZE_ANY_EXHDR(body);
	const char *utf8 = kgw_encoding_to_wire(text_to_cstring(body), &len);

	if (utf8 == NULL)
		PG_RETURN_TEXT_P(cstring_to_text("malformed"));
	PG_RETURN_TEXT_P(cstring_to_text(verify(utf8, len, PG_GETARG_TEXT_PP(1),
											PG_GETARG_INTERVAL_P(2),
											PG_GETARG_TIMESTAMPTZ(3))));
}
