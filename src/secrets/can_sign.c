/*-------------------------------------------------------------------------
 *
 * can_sign.c
 *	  Which of those that wait for a secret, or for a key to decrypt something, have it by now.
 *
 * It is asked whenever someone has written the table of secrets, of all that wait: of an
 * organization without a secret, each of sixty thousand deliveries may.  So one query
 * finds the organizations that have any secret, and only their holders' are read.
 *
 * Each holder is asked for itself: that a subscription can sign says nothing of its
 * organization, nor the other way round.
 *
 * src/secrets/can_sign.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"

#include "pg/encoding.h"
#include "secrets/can_sign.h"
#include "secrets/secret_cache.h"

/* Those of the holders' organizations for which any secret is there, as a set of strings. */
static HTAB *
organizations_with_secrets(const List *holders)
{
	HASHCTL		ctl = {.keysize = KGW_ORG_ID_MAX + 1, .entrysize = KGW_ORG_ID_MAX + 1};
	HTAB	   *found = hash_create("kgwebhook organizations with secrets", 64, &ctl, HASH_ELEM | HASH_STRINGS);
	Oid			types[] = {TEXTARRAYOID};
	Datum		args[1];
	Datum	   *elements = palloc(list_length(holders) * sizeof(Datum));
	ListCell   *lc;

	foreach(lc, holders)
	{
		const char *org_id = ((KgwSecretHolder *) lfirst(lc))->org_id;

		elements[foreach_current_index(lc)] = CStringGetTextDatum(kgw_encoding_to_server(org_id, strlen(org_id)));
	}
	args[0] = PointerGetDatum(construct_array(elements, list_length(holders), TEXTOID, -1, false,
											  TYPALIGN_INT));
	if (SPI_execute_with_args("SELECT DISTINCT org_id FROM kgwebhook.secret"
							  " WHERE org_id OPERATOR(pg_catalog.=) ANY ($1)",
							  1, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kgwebhook.secret");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		const char *org_id = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		size_t		len = strlen(org_id);

		(void) hash_search(found, kgw_encoding_to_wire(org_id, &len), HASH_ENTER, NULL);
	}
	SPI_freetuptable(SPI_tuptable);
	return found;
}

/* Those of these holders for which there is a secret that can be used: see can_sign.h. */
List *
kgw_can_sign(const List *holders)
{
	List	   *can_sign = NIL;
	ListCell   *lc;
	HTAB	   *found;

	if (holders == NIL)
		return NIL;
	found = organizations_with_secrets(holders);
	foreach(lc, holders)
	{
		KgwSecretHolder *holder = lfirst(lc);

		if (hash_search(found, holder->org_id, HASH_FIND, NULL) != NULL &&
			kgw_keyring_fault(kgw_secret_cache_load(holder->org_id, holder->subscription_id), holder->subscription_id) == NULL)
			can_sign = lappend(can_sign, holder);
	}
	hash_destroy(found);
	return can_sign;
}
