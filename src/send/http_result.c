/*-------------------------------------------------------------------------
 *
 * http_result.c
 *	  What became of a request, when libcurl is done with it.
 *
 * A kept connection that dies under a request says nothing of the receiver, only that
 * someone has closed or forgotten it in between; its siblings, to the same address, may
 * be dead as well.
 *
 * src/send/http_result.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "send/connection.h"
#include "send/http_error.h"
#include "send/http_result.h"

/*
 * Whether a kept connection ended under the request before anything of an
 * answer came.  Late is another thing: the receiver may be what is slow.
 */
static bool
was_dropped(const KgwHttpRequest *transfer, CURLcode code)
{
	if (!transfer->kept || transfer->received > 0 || transfer->blocked != NULL)
		return false;
	return transfer->resent || code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR ||
		code == CURLE_GOT_NOTHING;
}

static KgwTransport
transport_of(const KgwHttpRequest *transfer, CURLcode code)
{
	if (transfer->blocked != NULL)
		return KGW_HTTP_BLOCKED;

	/* a connection that the kernel gave up, and not a receiver that is slow */
	if (transfer->dropped)
		return KGW_HTTP_UNREACHABLE;
	return code == CURLE_OPERATION_TIMEDOUT ? KGW_HTTP_TIMED_OUT : KGW_HTTP_UNREACHABLE;
}

/* What this says of connections that are kept. */
static void
judge_kept(const KgwHttpRequest *transfer, const KgwResponse *response)
{
	/* what ended one tunnel says nothing of others through the same proxy */
	if (!transfer->proxied && (response->dropped ||
		(response->transport == KGW_HTTP_TIMED_OUT && transfer->received == 0)))
		kgw_connection_doubt(&transfer->peer);
	else if (response->transport == KGW_HTTP_ANSWERED && transfer->fd >= 0)
		kgw_connection_callback(transfer->fd)->doubtful = false;
}

/*
 * What became of the transfer.  The status line and the headers decide; the body
 * is for the log, and one that is cut off, too long or late changes nothing.
 * The response points into the transfer.
 */
void
kgw_http_result(KgwHttpRequest *transfer, CURLcode code, KgwResponse *response)
{
	long		status = 0;

	response->body = transfer->body;
	response->body_len = transfer->body_len;
	response->retry_after = transfer->retry_after;
	response->duration = kgw_clock_ticks() - transfer->started;
	transfer->dropped = !transfer->headers_done && was_dropped(transfer, code);
	response->dropped = transfer->dropped;
	response->reached = transfer->sent;
	if (transfer->headers_done)
	{
		curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
		response->transport = KGW_HTTP_ANSWERED;
		response->error = "";
	}
	else
	{
		response->transport = transport_of(transfer, code);
		response->error = kgw_http_error_text(transfer, code);
	}
	response->status = (int) status;
	if (transfer->kept)
		judge_kept(transfer, response);
}
