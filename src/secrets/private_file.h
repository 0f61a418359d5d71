/*-------------------------------------------------------------------------
 *
 * private_file.h
 *	  A file that only the server's user may read.
 *
 * src/secrets/private_file.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SECRETS_PRIVATE_FILE_H
#define KGW_SECRETS_PRIVATE_FILE_H

extern const char *kgw_private_file_read(const char *path, char *buffer, size_t size, size_t *len);

#endif							/* KGW_SECRETS_PRIVATE_FILE_H */
