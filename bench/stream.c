/*-------------------------------------------------------------------------
 *
 * bench/stream.c
 *	  Bytes in and out of a connection, plain or by TLS.
 *
 * The receiver's loop is the same for both.  A TLS handshake is no state of
 * its own: OpenSSL makes it inside the first reads.
 *
 * An answer is so small that a socket which won't take it whole belongs to a
 * peer that has stopped reading; it is closed rather than waited for.
 *
 *-------------------------------------------------------------------------
 */
#include "stream.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

static SSL_CTX *tls_context;

/* All connections from now on speak TLS.  Exits when the files won't do. */
void
kgw_stream_use_tls(const char *certificate_file, const char *key_file)
{
	tls_context = SSL_CTX_new(TLS_server_method());
	if (tls_context == NULL ||
		SSL_CTX_use_certificate_chain_file(tls_context, certificate_file) != 1 ||
		SSL_CTX_use_PrivateKey_file(tls_context, key_file, SSL_FILETYPE_PEM) != 1)
	{
		ERR_print_errors_fp(stderr);
		exit(1);
	}
}

/* Takes a non-blocking socket over; false and closed when out of memory. */
bool
kgw_stream_open(KgwStream *stream, int fd)
{
	stream->fd = fd;
	stream->tls = NULL;
	if (tls_context == NULL)
		return true;

	stream->tls = SSL_new(tls_context);
	if (stream->tls == NULL || SSL_set_fd(stream->tls, fd) != 1)
	{
		kgw_stream_close(stream);
		return false;
	}
	SSL_set_accept_state(stream->tls);
	return true;
}

/* Says that this was all. */
void
kgw_stream_shut(KgwStream *stream)
{
	if (stream->tls != NULL)
		SSL_shutdown(stream->tls);
}

/* Did the handshake resume an older session? */
bool
kgw_stream_resumed(const KgwStream *stream)
{
	return stream->tls != NULL && SSL_session_reused(stream->tls);
}

void
kgw_stream_close(KgwStream *stream)
{
	SSL_free(stream->tls);
	close(stream->fd);
}

static ssize_t
read_tls(SSL *tls, char *buffer, size_t size)
{
	size_t		got;
	int			error;

	ERR_clear_error();
	if (SSL_read_ex(tls, buffer, size, &got) == 1)
		return (ssize_t) got;
	error = SSL_get_error(tls, 0);
	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

/* How many bytes were read: 0 when there are none now, -1 at the end. */
ssize_t
kgw_stream_read(KgwStream *stream, char *buffer, size_t size)
{
	ssize_t		got;

	if (stream->tls != NULL)
		return read_tls(stream->tls, buffer, size);

	got = recv(stream->fd, buffer, size, 0);
	if (got > 0)
		return got;
	return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

/* Is there something to read that epoll does not know of? */
bool
kgw_stream_has_more(const KgwStream *stream)
{
	return stream->tls != NULL && SSL_has_pending(stream->tls);
}

/* False when not all of it could be written, which is the stream's end. */
bool
kgw_stream_write(KgwStream *stream, const char *bytes, size_t length)
{
	size_t		written;

	if (stream->tls == NULL)
		return send(stream->fd, bytes, length, MSG_NOSIGNAL) == (ssize_t) length;

	ERR_clear_error();
	return SSL_write_ex(stream->tls, bytes, length, &written) == 1;
}
