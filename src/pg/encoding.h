/*-------------------------------------------------------------------------
 *
 * encoding.h
 *	  Between the server's encoding and the wire's, which is UTF-8.
 *
 * src/pg/encoding.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PG_ENCODING_H
#define KGW_PG_ENCODING_H

extern const char *kgw_encoding_to_wire(const char *text, size_t *len);
extern char *kgw_encoding_to_server(const char *utf8, size_t len);
extern char *kgw_encoding_from_wire(const char *bytes, size_t len);

#endif							/* KGW_PG_ENCODING_H */
