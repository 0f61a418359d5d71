/*-------------------------------------------------------------------------
 *
 * delivery.c
 *	  From a row of kgwebhook.queue to a delivery in memory.
 *
 * A worker keeps thousands of rows, and each for as long as its receiver wants.
 * So a row is one piece of memory, which is counted by its size and freed at
 * once, and has nothing that would have to be asked of the server again: its
 * texts are in UTF-8 already, as they go over the wire, whatever the database
 * has.
 *
 * What can't be made fit is not an error here, because that would stop
 * everyone's deliveries: it becomes the row's problem, and that the reason of
 * an invalid attempt.
 *
 * src/queue/delivery.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "pg/database_identity.h"
#include "pg/encoding.h"
#include "pg/jsonb_canonical.h"
#include "pure/jcs/jcs.h"
#include "queue/canonical_payload.h"
#include "queue/delivery.h"

/* At most so many times as large as its text is a jsonb. */
#define JSONB_OVERHEAD 16

/* Bytes of a text; users may have put longer ones into the queue by hand. */
#define TEXT_MAX 8192

/* Columns of KGW_ROW_COLUMNS, from 0. */
enum
{
	ROW_PLACE, ROW_DELIVERY_ID, ROW_ATTEMPTS, ROW_ATTEMPTS_BEFORE, ROW_NEXT_ATTEMPT_AT,
	ROW_ENQUEUED_AT, ROW_XID, ROW_ORIGIN, ROW_SUBSCRIPTION_ID, ROW_REFUSED_AT, ROW_HELD, ROW_NOT_BEFORE, ROW_RECOVERED,
	ROW_WEBHOOK_ID, ROW_ORG_ID, ROW_EVENT, ROW_KIND, ROW_OBJECT_ID, ROW_URL, ROW_DESTINATION, ROW_PROBLEM, ROW_PAYLOAD
};

StaticAssertDecl(ROW_PAYLOAD == KGW_ROW_COLUMN_COUNT - 1, "columns are named and counted alike");

/*
 * Append text to the piece in UTF-8, and say where it begins.  What has no
 * UTF-8 form (possible only in a database of another encoding) is left empty,
 * and *unfit is set.
 */
static Size
append_wire(StringInfo piece, const char *text, size_t *len, bool *unfit)
{
	Size		offset = piece->len;
	const char *wire = kgw_encoding_to_wire(text, len);

	if (wire == NULL)
	{
		wire = "";
		*len = 0;
		*unfit = true;
	}
	appendBinaryStringInfo(piece, wire, *len);
	appendStringInfoChar(piece, '\0');
	return offset;
}

/*
 * Append a text column; offset 0 stands for NULL.  Of one that is longer than any
 * that we have written, only the beginning is read, and *too_long is set.
 */
static Size
append_text(StringInfo piece, const KgwRowValues *from, int column, bool *unfit,
			bool *too_long)
{
	size_t		len;
	Datum		value = from->values[column];
	text	   *unpacked;

	if (from->nulls[column])
		return 0;
	if (toast_raw_datum_size(value) - VARHDRSZ > TEXT_MAX)
	{
		unpacked = DatumGetTextPSlice(value, 0, TEXT_MAX);
		len = pg_mbcliplen(VARDATA_ANY(unpacked), VARSIZE_ANY_EXHDR(unpacked), TEXT_MAX - 1);
		*too_long = true;
	}
	else
	{
		unpacked = DatumGetTextPP(value);
		len = VARSIZE_ANY_EXHDR(unpacked);
	}
	return append_wire(piece, VARDATA_ANY(unpacked), &len, unfit);
}

/*
 * Append a payload's text.  False when it can't be taken, and what that weighs says why: it would
 * be far longer than any body, or has a number that none could hold.  A jsonb is larger
 * than its text by less than JSONB_OVERHEAD; beyond that it isn't even read.
 */
static bool
append_json(StringInfo out, Datum payload, KgwWeight *weight, size_t *stamp_at)
{
	Jsonb	   *jsonb;

	kgw_value_weight_begin(weight, KGW_CANONICAL_MAX_BYTES);
	if (toast_raw_datum_size(payload) > JSONB_OVERHEAD * (Size) KGW_CANONICAL_MAX_BYTES)
		return kgw_value_weight_bytes(weight, SIZE_MAX);
	jsonb = DatumGetJsonbP(payload);
	*stamp_at = kgw_canonical_payload_append(out, jsonb);
	return *stamp_at > 0 || kgw_jsonb_canonical_append(out, jsonb, weight);
}

/*
 * Append the payload in UTF-8, of which length and place of the stamp are noted in "head"; empty,
 * with the fault as constant text, where it can't be taken.
 */
static Size
append_payload(StringInfo piece, Datum payload, KgwDelivery *head, bool *unfit, const char **fault)
{
	static KgwWeight weight;
	StringInfoData own;
	StringInfo	out = piece;	/* into the piece itself, unless it has to be converted */
	Size		start;

	if (GetDatabaseEncoding() != PG_UTF8)
	{
		initStringInfo(&own);
		out = &own;
	}
	start = out->len;
	*fault = append_json(out, payload, &weight, &head->stamp_at) ? NULL : weight.fault;
	if (*fault != NULL)
		out->len = start;
	head->payload_len = out->len - start;
	if (out == &own)
		return append_wire(piece, own.data, &head->payload_len, unfit);
	appendStringInfoChar(piece, '\0');
	return start;
}

/* An int8, or a time, which is one; 0 for NULL. */
static int64
int8_or_0(const KgwRowValues *from, int column)
{
	return from->nulls[column] ? 0 : DatumGetInt64(from->values[column]);
}

/*
 * Make a row out of what KGW_ROW_COLUMNS returned: one palloc'd piece in
 * "context".  Scratch memory is the current context's.
 */
KgwDelivery *
kgw_delivery_make(const KgwRowValues *from, MemoryContext context)
{
	StringInfoData piece;
	KgwDelivery		head = {0};
	KgwDelivery	   *row;
	Size		offset[ROW_PAYLOAD + 1] = {0};
	bool		unfit = false;
	bool		too_long = false;
	const char *fault;

	head.place = *(ItemPointer) DatumGetPointer(from->values[ROW_PLACE]);
	head.delivery_id = DatumGetInt64(from->values[ROW_DELIVERY_ID]);
	head.attempts = DatumGetInt32(from->values[ROW_ATTEMPTS]);
	head.attempts_before = DatumGetInt32(from->values[ROW_ATTEMPTS_BEFORE]);
	head.next_attempt_at = DatumGetTimestampTz(from->values[ROW_NEXT_ATTEMPT_AT]);
	head.enqueued_at = DatumGetTimestampTz(from->values[ROW_ENQUEUED_AT]);
	head.xid = DatumGetFullTransactionId(from->values[ROW_XID]);
	head.subscription_id = int8_or_0(from, ROW_SUBSCRIPTION_ID);
	head.refused_at = int8_or_0(from, ROW_REFUSED_AT);
	head.held = int8_or_0(from, ROW_HELD);
	head.not_before = int8_or_0(from, ROW_NOT_BEFORE);
	head.recovered = int8_or_0(from, ROW_RECOVERED);

	initStringInfo(&piece);
	appendBinaryStringInfo(&piece, (char *) &head, sizeof(head));
	for (int column = ROW_WEBHOOK_ID; column <= ROW_PROBLEM; column++)
		offset[column] = append_text(&piece, from, column, &unfit, &too_long);
	offset[ROW_PAYLOAD] = append_payload(&piece, from->values[ROW_PAYLOAD], &head, &unfit, &fault);
	if (fault != NULL && offset[ROW_PROBLEM] == 0)
	{
		offset[ROW_PROBLEM] = piece.len;
		appendStringInfoString(&piece, fault);
		appendStringInfoChar(&piece, '\0');
	}

	row = MemoryContextAlloc(context, piece.len);
	memcpy(row, piece.data, piece.len);
	row->payload_len = head.payload_len;
	row->stamp_at = head.stamp_at;
	row->size = GetMemoryChunkSpace(row);
	row->webhook_id = (char *) row + offset[ROW_WEBHOOK_ID];
	row->org_id = (char *) row + offset[ROW_ORG_ID];
	row->event = (char *) row + offset[ROW_EVENT];
	row->kind = (char *) row + offset[ROW_KIND];
	row->object_id = (char *) row + offset[ROW_OBJECT_ID];
	row->url = (char *) row + offset[ROW_URL];
	row->destination = (char *) row + offset[ROW_DESTINATION];
	row->problem = offset[ROW_PROBLEM] ? (char *) row + offset[ROW_PROBLEM] : NULL;
	if (unfit && row->problem == NULL)
		row->problem = "some of its text has no UTF-8 form";
	if (too_long && row->problem == NULL)
		row->problem = "some of its text is longer than 8192 bytes";
	row->payload = (char *) row + offset[ROW_PAYLOAD];
	pfree(piece.data);
	return row;
}

/*
 * Whether it asks its subscription's receiver for consent.  A challenge is an object of its own,
 * named by its webhook-id, which no object of a watched table can be.
 */
bool
kgw_delivery_is_challenge(const KgwDelivery *row)
{
	return row->subscription_id != 0 && strcmp(row->object_id, row->webhook_id) == 0 &&
		strcmp(row->event, "endpoint.challenge") == 0;
}

/* Whether a row was enqueued in another database, and came here by a restore. */
bool
kgw_delivery_is_foreign(const KgwRowValues *from)
{
	return DatumGetInt64(from->values[ROW_ORIGIN]) != kgw_database_identity_origin();
}
