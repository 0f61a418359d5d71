/*-------------------------------------------------------------------------
 *
 * key_file.h
 *	  The file of kgwebhook.key_file: the keys that secrets are encrypted with.
 *
 * src/secrets/key_file.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SECRETS_KEY_FILE_H
#define KGW_SECRETS_KEY_FILE_H

/* Keys that the file may have, and how long each of them may be. */
#define KGW_KEYS_MAX 8
#define KGW_KEY_MIN_BYTES 32
#define KGW_KEY_MAX_BYTES 512

typedef struct KgwKey
{
	size_t		len;
	char		bytes[KGW_KEY_MAX_BYTES];
} KgwKey;

/* The first one encrypts, all of them decrypt. */
typedef struct KgwKeys
{
	int			count;
	KgwKey		keys[KGW_KEYS_MAX];
} KgwKeys;

extern bool kgw_key_file_set(void);
extern void kgw_key_file_read(KgwKeys *keys);
extern void kgw_key_file_wipe(KgwKeys *keys);

#endif							/* KGW_SECRETS_KEY_FILE_H */
