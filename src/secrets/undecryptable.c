/*-------------------------------------------------------------------------
 *
 * undecryptable.c
 *	  What a worker does with what it cannot decrypt.
 *
 * It is an operator's matter and must not stop the others: the worker says so, and what
 * needs it waits.  A wrong key file is met by each organization in turn, so what was said
 * of one is not said again of the next, until the secrets are read again.  kg_status()
 * names all of them.
 *
 * Of an endpoint's own, its client certificate or its headers, only that endpoint is in
 * need, so these are opened in a subtransaction each, and each is named, up to some.
 *
 * src/secrets/undecryptable.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pg/error_recovery.h"
#include "secrets/undecryptable.h"
#include "shmem/counters.h"

static bool met;				/* something, since it was forgotten */
static char complaint[256];		/* the last one since then */
static int	named;				/* endpoints, since then */

/* Lines about endpoints' own, until everything is read again. */
#define NAMED_MAX 20

static void
log_error(const ErrorData *error)
{
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg_internal("kgwebhook: %s", error->message),
			 error->detail != NULL ? errdetail_internal("%s", error->detail) : 0,
			 error->hint != NULL ? errhint("%s", error->hint) : 0));
}

/*
 * Put an error that keeps a secret from being used into the log, unless the same
 * has just been said of another one.
 */
void
kgw_undecryptable_complain(const ErrorData *error)
{
	const char *fault = error->detail != NULL ? error->detail : error->message;

	kgw_counters_complaint(error);
	if (strncmp(complaint, fault, sizeof(complaint) - 1) == 0)
		return;
	strlcpy(complaint, fault, sizeof(complaint));
	log_error(error);
}

/*
 * Whether what was caught, or NULL, is that something cannot be decrypted, which is complained of;
 * another error is raised again.
 */
bool
kgw_undecryptable_note(ErrorData *error)
{
	if (error == NULL)
		return false;
	if (error->sqlerrcode != ERRCODE_CONFIG_FILE_ERROR)
		ReThrowError(error);
	met = true;
	kgw_undecryptable_complain(error);
	FreeErrorData(error);
	return true;
}

typedef struct KgwOpening
{
	text	   *org_id;
	text	   *kept;
	const KgwSealedName *name;
	text	   *clear;
} KgwOpening;

static void
open_kept(void *arg)
{
	KgwOpening *o = arg;

	o->clear = kgw_encryption_open(o->org_id, o->kept, true, NULL, o->name);
}

/* What is behind what is kept, for the caller to wipe; NULL when it cannot be decrypted. */
text *
kgw_undecryptable_open(text *org_id, text *kept, bool encrypted, const KgwSealedName *name)
{
	KgwOpening	o = {org_id, kept, name, NULL};
	ErrorData  *error;

	if (!encrypted)
		return kept;
	error = kgw_error_recovery_subtransaction(open_kept, &o);
	if (error == NULL)
		return o.clear;
	if (error->sqlerrcode != ERRCODE_CONFIG_FILE_ERROR)
		ReThrowError(error);
	met = true;
	kgw_counters_complaint(error);
	if (named++ < NAMED_MAX)
		log_error(error);
	FreeErrorData(error);
	return NULL;
}

/* Whether anything was met that could not be decrypted, since it was forgotten. */
bool
kgw_undecryptable_met(void)
{
	return met;
}

/* Everything is read again. */
void
kgw_undecryptable_forget(void)
{
	met = false;
	complaint[0] = '\0';
	named = 0;
}
