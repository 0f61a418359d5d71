/*-------------------------------------------------------------------------
 *
 * text.h
 *	  Between the server's encoding and the wire's, which is UTF-8.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_TEXT_H
#define KGW_TEXT_H

extern const char *kgw_text_to_wire(const char *text, size_t *len);
extern char *kgw_text_to_server(const char *utf8, size_t len);
extern char *kgw_text_from_wire(const char *bytes, size_t len);

#endif							/* KGW_TEXT_H */
