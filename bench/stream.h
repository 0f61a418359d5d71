/*-------------------------------------------------------------------------
 *
 * bench/stream.h
 *	  Bytes in and out of a connection, plain or by TLS.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_STREAM_H
#define KGW_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <openssl/ssl.h>

typedef struct KgwStream
{
	int			fd;
	SSL		   *tls;			/* NULL: plain */
} KgwStream;

extern void kgw_stream_use_tls(const char *certificate_file,
							   const char *key_file);
extern bool kgw_stream_open(KgwStream *stream, int fd);
extern void kgw_stream_shut(KgwStream *stream);
extern bool kgw_stream_resumed(const KgwStream *stream);
extern void kgw_stream_close(KgwStream *stream);
extern ssize_t kgw_stream_read(KgwStream *stream, char *buffer, size_t size);
extern bool kgw_stream_has_more(const KgwStream *stream);
extern bool kgw_stream_write(KgwStream *stream, const char *bytes,
							 size_t length);

#endif							/* KGW_STREAM_H */
