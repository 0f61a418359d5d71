/*-------------------------------------------------------------------------
 *
 * http_response.c
 *	  What comes back for a request: taken, counted, and cut off.
 *
 * Everything here was written by a third party.  The status line and the headers
 * decide; once they are there nothing that follows changes anything, and what
 * follows is for the log only.  So an answer that goes on is cut off, whatever
 * it goes on with: bytes of headers, body and trailers are counted as libcurl
 * hands them over, and what it keeps to itself (extensions of chunks, framing)
 * by what the kernel has received.  Lines of headers are counted too, because
 * libcurl keeps some hundred bytes for each: five bytes on the wire would
 * become a hundred here.
 *
 * Callbacks run inside libcurl: they must never palloc, ereport or longjmp.
 *
 * src/send/http_response.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pure/http_header.h"
#include "send/connection.h"
#include "send/http_response.h"

/* An answer longer than this is cut off: nobody needs it, and it costs us. */
#define RECEIVED_MAX (256 * 1024)

/* The same on the wire, where the framing of chunks and of TLS is added. */
#define WIRE_MAX (2 * RECEIVED_MAX)

/* Lines of headers and trailers, those of 1xx included. */
#define LINES_MAX 512

/* Count what arrives; false when it is more than anyone needs. */
static bool
count_received(KgwHttpRequest *transfer, size_t len)
{
	transfer->received += len;
	transfer->too_long = transfer->received > RECEIVED_MAX || transfer->lines > LINES_MAX;
	return !transfer->too_long;
}

/*
 * Whether a line is a status line that isn't one: libcurl 8 may read "HTTP/1.1 2000"
 * as 200, and takes one in small letters, "http/1.1 500", for a 200 as well; either would
 * acknowledge.
 */
static bool
is_garbled(const char *line, size_t len)
{
	const char *end = line + len;
	int			digits = 0;

	if (len < 5 || pg_strncasecmp(line, "HTTP/", 5) != 0)
		return false;
	if (strncmp(line, "HTTP/", 5) != 0)
		return true;
	while (line < end && *line != ' ')
		line++;
	while (line < end && *line == ' ')
		line++;
	for (; line < end && *line >= '0' && *line <= '9'; line++)
		digits++;
	return digits != 3;
}

static size_t
on_header(char *line, size_t size, size_t count, void *arg)
{
	KgwHttpRequest *transfer = arg;
	size_t		len = size * count;
	long		status = 0;

	transfer->lines++;
	if (!count_received(transfer, len))
		return 0;
	if (transfer->headers_done)
		return len;
	if (is_garbled(line, len))
	{
		transfer->garbled = true;
		return 0;
	}
	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	if (len <= 2 && (status >= 200 || status == 101))
	{
		/* after a 101 comes another protocol, for which libcurl would wait */
		transfer->headers_done = true;
		return status == 101 ? 0 : len;
	}
	if (len <= 2)
		transfer->retry_after[0] = '\0';	/* of a 1xx: not of the answer */
	else
		kgw_http_header_value(line, len, "retry-after", transfer->retry_after,
						 sizeof(transfer->retry_after));
	return len;
}

/* An ordinary answer has ended by then, and is spared the counting. */
#define LOOKS_UNCOUNTED 8

/*
 * Extensions of chunks are skipped by libcurl without a word.  So once the
 * headers are there, and the body isn't with them, the bytes on the wire count.
 */
static int
on_progress(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	KgwHttpRequest *transfer = arg;

	if (!transfer->headers_done || transfer->fd < 0 || ++transfer->looks <= LOOKS_UNCOUNTED)
		return 0;
	if (transfer->looks == LOOKS_UNCOUNTED + 1)
		transfer->received_before = kgw_connection_received(transfer->fd);
	if (kgw_connection_received(transfer->fd) - transfer->received_before <= WIRE_MAX)
		return 0;
	transfer->too_long = true;
	return 1;
}

static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
	KgwHttpRequest *transfer = arg;
	size_t		len = size * count;
	size_t		keep = Min(len, transfer->body_room - transfer->body_len);

	if (!count_received(transfer, len))
		return 0;
	if (keep > 0)
		memcpy(transfer->body + transfer->body_len, data, keep);
	transfer->body_len += keep;
	return len;
}

/* Have what comes back for this transfer handed to us. */
void
kgw_http_response_listen(KgwHttpRequest *transfer)
{
	CURL	   *easy = transfer->easy;

	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(easy, CURLOPT_XFERINFODATA, transfer);
}
