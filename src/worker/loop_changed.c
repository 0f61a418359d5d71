/*-------------------------------------------------------------------------
 *
 * loop_changed.c
 *	  What a worker does when someone has written a table of ours that isn't the queue.
 *
 * What is in memory stays there, except what it was judged by: pauses, subscriptions
 * or secrets are read again, and only those deliveries that they are about are let
 * go of, or are due.  To read the whole queue again would cost seconds beside a long
 * backlog, and merchants sign up all the time.
 *
 * It runs in short transactions of its own, between two looks at the queue.
 *
 * src/worker/loop_changed.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "secrets/can_sign.h"
#include "secrets/secret_cache.h"
#include "secrets/secret_maintenance.h"
#include "settle/own_consent.h"
#include "settle/subscription_state.h"
#include "worker/error_trap.h"
#include "worker/loop_internal.h"

static void
collect_paused(const char *destination, void *arg)
{
	List	  **names = arg;

	*names = lappend(*names, pstrdup(destination));
}

/* Someone has written the table of pauses. */
static void
reread_pauses(void *arg)
{
	KgwLoop    *loop = arg;
	List	   *read = NIL;
	List	   *names = NIL;
	ListCell   *lc;
	bool		all = false;

	loop->there = kgw_loop_read_begin(loop);
	if (!loop->there)
		return;
	kgw_queue_read_paused(collect_paused, &read);
	foreach(lc, read)
	{
		if (strcmp(lfirst(lc), "*") == 0)
			all = true;
		else if (kgw_loop_read_is_mine(loop, lfirst(lc)))
			names = lappend(names, lfirst(lc));
	}
	kgw_backlog_pauses(loop->scheduler, names, all);
	list_free(names);
	list_free_deep(read);
	kgw_queue_read_end();
}

/* Someone has written the table of subscriptions, or that of who has to consent. */
static void
reread_subscriptions(void *arg)
{
	KgwLoop    *loop = arg;
	bool		own_urls;

	loop->there = kgw_loop_read_begin(loop);
	if (!loop->there)
		return;
	own_urls = kgw_own_consent_reread();
	if (kgw_subscription_state_reread() || own_urls)
		kgw_unload_judged(loop->scheduler, own_urls);
	kgw_queue_read_end();
}

/* Someone has written the table of secrets. */
static void
reread_secrets(void *arg)
{
	KgwLoop    *loop = arg;

	loop->there = kgw_loop_read_begin(loop);
	if (!loop->there)
		return;
	kgw_keyless_release(loop->scheduler,
						kgw_can_sign(kgw_keyless_holders(loop->scheduler)));
	kgw_queue_read_end();
}

/*
 * Someone has changed this, which isn't the queue: what is here stays here, except
 * what it was judged by.  That is read again in its turn, after a look as always.
 */
void
kgw_loop_changed(KgwLoop *loop, KgwChanged what)
{
	KgwTrapResult	result = KGW_TRAP_DONE;

	switch (what)
	{
		case KGW_CHANGED_ALL:
		case KGW_CHANGED_ROUTES:
			break;
		case KGW_CHANGED_SECRETS:
			kgw_secret_cache_forget();
			kgw_secret_maintenance_run();
			result = kgw_error_trap_passing(reread_secrets, loop);
			break;
		case KGW_CHANGED_SUBSCRIPTIONS:
			result = kgw_error_trap_passing(reread_subscriptions, loop);
			break;
		case KGW_CHANGED_PAUSES:
			result = kgw_error_trap_passing(reread_pauses, loop);
			break;
	}
	if (result != KGW_TRAP_DONE)
		kgw_loop_read_stop(loop);
}
