/*-------------------------------------------------------------------------
 *
 * keyfile.h
 *	  The file of kgwebhook.key_file: the keys that secrets are encrypted with.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_KEYFILE_H
#define KGW_KEYFILE_H

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

extern bool kgw_keyfile_set(void);
extern void kgw_keyfile_read(KgwKeys *keys);
extern void kgw_keyfile_wipe(KgwKeys *keys);

#endif							/* KGW_KEYFILE_H */
