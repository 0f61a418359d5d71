/*-------------------------------------------------------------------------
 *
 * request_headers.h
 *	  Headers that an endpoint wants besides ours, and which it may not have.
 *
 * src/pure/request_headers.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_REQUEST_HEADERS_H
#define KGW_PURE_REQUEST_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Headers of one endpoint, and bytes of all their names and values. */
#define KGW_REQUEST_HEADERS_MAX 20
#define KGW_REQUEST_HEADERS_BYTES 4096

/*
 * The headers of an endpoint.  They are shared: each that keeps them holds them, and the last
 * one wipes them.
 */
typedef struct KgwHeaders
{
	int			holders;
	int64_t		subscription_id;
	char	   *destination;	/* they go nowhere else */
	char	   *text;			/* what lines point into */
	size_t		text_len;
	int			count;
	char	   *lines[KGW_REQUEST_HEADERS_MAX]; /* "name: value" */
} KgwHeaders;

/*
 * What is wrong with the name of a header that an endpoint wants, or with its value, as a
 * static sentence; NULL: nothing.  A name that is no token is not to be repeated in an error: it may be
 * a value that has got into the wrong place.
 */
extern const char *kgw_request_headers_judge_name(const char *name, size_t len);
extern const char *kgw_request_headers_judge_value(const char *value, size_t len);
extern bool kgw_request_headers_is_token(const char *name, size_t len);

/*
 * Headers from lines "name: value\n", held by the caller; NULL when there is no memory.  A line that
 * would be refused at the door is left out.
 */
extern KgwHeaders *kgw_request_headers_new(int64_t subscription_id, const char *destination,
										   const char *text, size_t len);

/* Hold headers for someone else as well, or let go of them; NULL is allowed. */
extern KgwHeaders *kgw_request_headers_share(KgwHeaders *headers);
extern void kgw_request_headers_release(KgwHeaders *headers);

#endif							/* KGW_PURE_REQUEST_HEADERS_H */
