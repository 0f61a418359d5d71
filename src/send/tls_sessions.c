/*-------------------------------------------------------------------------
 *
 * tls_sessions.c
 *	  TLS sessions of destinations, for the next handshake to resume.
 *
 * Many receivers close their connection after each answer.  A whole handshake
 * costs several times the CPU of the request; one that resumes a session a third
 * of that.  Until 8.12, libcurl keeps sessions in the easy handle, where the next
 * request to the same destination, by another handle, does not find them; and its
 * shared cache has room for eight.  So each destination has a share of its own,
 * with nothing in it but its session, and a transfer joins it while it lasts.
 *
 * OpenSSL uses a session of TLS 1.3 once: when it has been resumed, it is spent, and
 * a receiver that gives no new ticket then (Node's don't) gets a whole handshake
 * every other time.  So each handshake resumes a copy.  That one ticket is used
 * again shows an onlooker that the same client has come back, which is no secret
 * here: our address says so.
 *
 * Shares are bounded: the one that was used longest ago makes room.  They are
 * forgotten at each reload, because what vouches for a receiver may be another
 * then, and after AGE_MAX: resuming verifies nothing again, and a certificate that
 * has expired must not live on in a session.  What is forgotten while a transfer
 * has it lasts as long as that.
 *
 * When a new connection has brought no answer, resuming may be what failed: some
 * receivers break off where a session is resumed.  OpenSSL then gives up the session
 * that it tried, which here is a copy.  So the destination's is forgotten as well,
 * and the next handshake is a whole one.
 *
 * A transfer is never without a share: a handle that had sessions of its own and then
 * gets a share leaks them (libcurl 7.88).  Requests without TLS share "none".
 *
 * src/send/tls_sessions.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <curl/curl.h>
#include <openssl/ssl.h>

#include "common/hashfn.h"

#include "pure/url.h"
#include "send/tls_sessions.h"

/* Destinations whose session is kept; one takes about ten kilobytes. */
#define DESTINATIONS 1024

#define BUCKETS 512

/* A destination, a blank and a number. */
#define SESSION_NAME_SIZE (KGW_DESTINATION_SIZE + 24)

/* An hour, in microseconds. */
#define AGE_MAX INT64CONST(3600000000)

typedef struct KgwTlsSession
{
	dlist_node	node;			/* among all that are kept, the latest used first */
	dlist_node	bucket_node;
	CURLSH	   *share;
	KgwTicks	made_at;
	int			users;			/* transfers that have joined it */
	bool		kept;			/* false: it goes with its last user */
	char		destination[FLEXIBLE_ARRAY_MEMBER];
} KgwTlsSession;

struct KgwTlsSessions
{
	CURLSH	   *none;
	dlist_head	latest;			/* KgwTlsSession */
	dlist_head	buckets[BUCKETS];
	int			count;
};

static CURLSH *
new_share(void)
{
	CURLSH	   *share = curl_share_init();

	if (share != NULL &&
		curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) == CURLSHE_OK)
		return share;
	curl_share_cleanup(share);
	return NULL;
}

/* NULL when there is no memory. */
KgwTlsSessions *
kgw_tls_sessions_new(void)
{
	KgwTlsSessions *sessions = calloc(1, sizeof(KgwTlsSessions));

	if (sessions == NULL)
		return NULL;
	dlist_init(&sessions->latest);
	for (int i = 0; i < BUCKETS; i++)
		dlist_init(&sessions->buckets[i]);
	sessions->none = new_share();
	if (sessions->none == NULL)
	{
		free(sessions);
		return NULL;
	}
	return sessions;
}

static void
free_session(KgwTlsSession *session)
{
	curl_share_cleanup(session->share);
	free(session);
}

/* Nobody finds it any more; it lasts as long as its users have it. */
static void
forget_session(KgwTlsSessions *sessions, KgwTlsSession *session)
{
	dlist_delete(&session->node);
	dlist_delete(&session->bucket_node);
	sessions->count--;
	session->kept = false;
}

static void
drop(KgwTlsSessions *sessions, KgwTlsSession *session)
{
	forget_session(sessions, session);
	if (session->users == 0)
		free_session(session);
}

/* Forget all of them. */
void
kgw_tls_sessions_forget(KgwTlsSessions *sessions)
{
	while (!dlist_is_empty(&sessions->latest))
		drop(sessions, dlist_head_element(KgwTlsSession, node, &sessions->latest));
}

/* No transfer may be left that has joined. */
void
kgw_tls_sessions_free(KgwTlsSessions *sessions)
{
	kgw_tls_sessions_forget(sessions);
	curl_share_cleanup(sessions->none);
	free(sessions);
}

static dlist_head *
bucket_of(KgwTlsSessions *sessions, const char *destination)
{
	return &sessions->buckets[hash_bytes((const unsigned char *) destination,
										 (int) strlen(destination)) % BUCKETS];
}

/* The one of a destination that may still be resumed, or NULL. */
static KgwTlsSession *
find_session(KgwTlsSessions *sessions, const char *destination, KgwTicks now)
{
	dlist_iter	iter;

	dlist_foreach(iter, bucket_of(sessions, destination))
	{
		KgwTlsSession *session = dlist_container(KgwTlsSession, bucket_node, iter.cur);

		if (strcmp(session->destination, destination) != 0)
			continue;
		if (now - session->made_at <= AGE_MAX)
			return session;
		drop(sessions, session);
		return NULL;
	}
	return NULL;
}

/* A new one for a destination that has none; NULL when there is no memory. */
static KgwTlsSession *
add(KgwTlsSessions *sessions, const char *destination, KgwTicks now)
{
	size_t		size = strlen(destination) + 1;
	KgwTlsSession *session = calloc(1, offsetof(KgwTlsSession, destination) + size);

	if (session == NULL)
		return NULL;
	session->share = new_share();
	if (session->share == NULL)
	{
		free(session);
		return NULL;
	}
	if (sessions->count >= DESTINATIONS)
		drop(sessions, dlist_tail_element(KgwTlsSession, node, &sessions->latest));
	memcpy(session->destination, destination, size);
	session->made_at = now;
	session->kept = true;
	dlist_push_head(&sessions->latest, &session->node);
	dlist_push_head(bucket_of(sessions, destination), &session->bucket_node);
	sessions->count++;
	return session;
}

/* A handshake begins: spend a copy of the session, if libcurl has found one. */
static void
on_handshake(const SSL *ssl, int where, int ret)
{
	SSL_SESSION *copy;

	/* the first of its connection: a renegotiation has begun before */
	if ((where & SSL_CB_HANDSHAKE_START) == 0 || !SSL_in_before(ssl) ||
		SSL_get_session(ssl) == NULL)
		return;
	copy = SSL_SESSION_dup(SSL_get_session(ssl));
	if (copy == NULL)
		return;
	SSL_set_session(unconstify(SSL *, ssl), copy);
	SSL_SESSION_free(copy);
}

/* What libcurl is to call for each new connection (CURLOPT_SSL_CTX_FUNCTION). */
CURLcode
kgw_tls_sessions_on_context(CURL *easy, void *context, void *arg)
{
	struct curl_tlssessioninfo *info = NULL;

	/* of a libcurl with another TLS library, the context is something else */
	if (curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &info) == CURLE_OK && info != NULL &&
		info->backend == CURLSSLBACKEND_OPENSSL)
		SSL_CTX_set_info_callback(context, on_handshake);
	return CURLE_OK;
}

/*
 * What sessions are kept under: the destination, and the client certificate that was shown,
 * because a session brings back the client that made it.
 */
static const char *
session_name(char name[SESSION_NAME_SIZE], const char *destination, const KgwCertificate *certificate)
{
	if (certificate == NULL)
		return destination;
	snprintf(name, SESSION_NAME_SIZE, "%s " UINT64_FORMAT, destination,
			 hash_bytes_extended((const unsigned char *) certificate->certificate,
								 (int) certificate->certificate_len, 0));
	return name;
}

/*
 * Have a transfer that is about to begin resume what its destination has, and keep
 * what it gets.  Without memory it goes without.
 */
void
kgw_tls_sessions_join(KgwTlsSessions *sessions, KgwHttpRequest *transfer,
					  const char *destination, const KgwCertificate *certificate)
{
	char		buffer[SESSION_NAME_SIZE];
	const char *name = session_name(buffer, destination, certificate);
	KgwTicks	now = transfer->started;
	KgwTlsSession *session = NULL;

	Assert(transfer->session == NULL);
	if (strncmp(destination, "https:", 6) == 0)
	{
		session = find_session(sessions, name, now);
		if (session == NULL)
			session = add(sessions, name, now);
	}
	if (session != NULL)
	{
		dlist_move_head(&sessions->latest, &session->node);
		session->users++;
	}
	transfer->session = session;
	if (session != NULL || !transfer->shares)
		curl_easy_setopt(transfer->easy, CURLOPT_SHARE,
						 session != NULL ? session->share : sessions->none);
	transfer->shares = true;
}

/* The transfer is over, and in no multi handle any more. */
void
kgw_tls_sessions_leave(KgwTlsSessions *sessions, KgwHttpRequest *transfer)
{
	KgwTlsSession *session = transfer->session;

	if (session == NULL)
		return;
	curl_easy_setopt(transfer->easy, CURLOPT_SHARE, sessions->none);
	transfer->session = NULL;
	if (session->kept && !transfer->kept && !transfer->headers_done)
		forget_session(sessions, session);
	session->users--;
	if (session->users == 0 && !session->kept)
		free_session(session);
}
