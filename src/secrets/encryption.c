/*-------------------------------------------------------------------------
 *
 * encryption.c
 *	  Secrets as they are kept in the table when kgwebhook.key_file is set.
 *
 * AES-256 in CBC mode under a random vector, then an HMAC-SHA256 over
 * organization, vector and ciphertext: encrypt, then authenticate.  With the
 * organization under the HMAC, a secret that someone copies into another
 * organization's row is no good there.  It also tells a wrong key from a right
 * one before anything is decrypted, so that a file can have several.
 *
 * The work is pgcrypto's.  Its functions are called directly and not by a query:
 * the parameters of a query can end up in a log (auto_explain), and a name in it
 * could be someone else's function.  A function is only taken if it is a
 * member of the extension pgcrypto, wherever that was installed.
 *
 * The form is  hex(version, vector, ciphertext, HMAC).  Both keys of a line of
 * the file are derived from it by HMAC; key and plaintext are wiped after use.
 *
 * src/secrets/encryption.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/dependency.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "lib/stringinfo.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include <openssl/crypto.h>

#include "pg/compat.h"
#include "pg/encoding.h"
#include "pg/extension.h"
#include "secrets/encryption.h"
#include "secrets/key_file.h"

#define VERSION 1
#define VECTOR_BYTES 16
#define MAC_BYTES 32
/* version and vector in front, HMAC behind */
#define OVERHEAD (1 + VECTOR_BYTES + MAC_BYTES)

/* What the keys that are derived from a line are for. */
#define FOR_ENCRYPTION "kgwebhook secret: encryption, 1"
#define FOR_AUTHENTICATION "kgwebhook secret: authentication, 1"

static bytea *
bytes_of(const void *data, size_t len)
{
	bytea	   *bytes = palloc(VARHDRSZ + len);

	SET_VARSIZE(bytes, VARHDRSZ + len);
	memcpy(VARDATA(bytes), data, len);
	return bytes;
}

static void
wipe(void *value)
{
	explicit_bzero(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	pfree(value);
}

/* A function of pgcrypto's, by name and types of arguments. */
static Oid
pgcrypto_function(const char *name, int nargs)
{
	Oid			types[] = {BYTEAOID, BYTEAOID, nargs == 3 ? TEXTOID : BYTEAOID, TEXTOID};
	Oid			extension = get_extension_oid("pgcrypto", false);
	char	   *schema = get_namespace_name(kgw_extension_schema(extension));
	Oid			function = LookupFuncName(list_make2(makeString(schema),
													 makeString(pstrdup(name))),
										  nargs, types, true);

	if (!OidIsValid(function) ||
		getExtensionOfObject(ProcedureRelationId, function) != extension)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function %s() of pgcrypto does not exist", name),
				 errhint("Run ALTER EXTENSION pgcrypto UPDATE.")));
	return function;
}

static bytea *
hmac(const bytea *data, const void *key, size_t key_len)
{
	bytea	   *key_bytes = bytes_of(key, key_len);
	bytea	   *mac = DatumGetByteaPP(OidFunctionCall3(pgcrypto_function("hmac", 3),
													   PointerGetDatum(data),
													   PointerGetDatum(key_bytes),
													   CStringGetTextDatum("sha256")));

	wipe(key_bytes);
	return mac;
}

/* One of the two keys that come out of a line of the file. */
static bytea *
derive(const KgwKey *key, const char *purpose)
{
	return hmac(bytes_of(purpose, strlen(purpose)), key->bytes, key->len);
}

/* The HMAC of what is sealed: everything but the HMAC, for this organization. */
static bytea *
authenticate(const KgwKey *key, text *org_id, const unsigned char *sealed, size_t len)
{
	size_t		org_len = VARSIZE_ANY_EXHDR(org_id);
	const char *org = kgw_encoding_to_wire(VARDATA_ANY(org_id), &org_len);
	uint32		framed = pg_hton32((uint32) org_len);
	StringInfoData message;
	bytea	   *mac_key = derive(key, FOR_AUTHENTICATION);
	bytea	   *mac;

	initStringInfo(&message);
	appendBinaryStringInfo(&message, (char *) &framed, sizeof(framed));
	if (org != NULL)
		appendBinaryStringInfo(&message, org, org_len);
	appendBinaryStringInfo(&message, (const char *) sealed, len);
	mac = hmac(bytes_of(message.data, message.len), VARDATA_ANY(mac_key),
			   VARSIZE_ANY_EXHDR(mac_key));
	wipe(mac_key);
	return mac;
}

/* encrypt_iv() or decrypt_iv() */
static bytea *
crypt_iv(const char *function, const bytea *data, const KgwKey *key,
		 const unsigned char *vector)
{
	bytea	   *crypt_key = derive(key, FOR_ENCRYPTION);
	bytea	   *result = DatumGetByteaPP(OidFunctionCall4(pgcrypto_function(function, 4),
														  PointerGetDatum(data),
														  PointerGetDatum(crypt_key),
														  PointerGetDatum(bytes_of(vector, VECTOR_BYTES)),
														  CStringGetTextDatum("aes-cbc/pad:pkcs")));

	wipe(crypt_key);
	return result;
}

static text *
seal_with(const KgwKey *key, text *org_id, text *secret)
{
	unsigned char vector[VECTOR_BYTES];
	bytea	   *plain = bytes_of(VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret));
	bytea	   *encrypted;
	bytea	   *mac;
	StringInfoData sealed;
	text	   *result;

	if (!pg_strong_random(vector, sizeof(vector)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not encrypt a secret"),
				 errdetail("The source of random numbers failed.")));
	encrypted = crypt_iv("encrypt_iv", plain, key, vector);
	wipe(plain);
	initStringInfo(&sealed);
	appendStringInfoChar(&sealed, VERSION);
	appendBinaryStringInfo(&sealed, (char *) vector, sizeof(vector));
	appendBinaryStringInfo(&sealed, VARDATA_ANY(encrypted), VARSIZE_ANY_EXHDR(encrypted));
	mac = authenticate(key, org_id, (unsigned char *) sealed.data, sealed.len);
	appendBinaryStringInfo(&sealed, VARDATA_ANY(mac), VARSIZE_ANY_EXHDR(mac));
	result = palloc(VARHDRSZ + 2 * sealed.len);
	SET_VARSIZE(result, VARHDRSZ + 2 * sealed.len);
	hex_encode(sealed.data, sealed.len, VARDATA(result));
	return result;
}

/*
 * A secret as it is to be kept.  Palloc'd; the secret itself is left as it is.
 * An error when the key file can't be used.
 */
text *
kgw_encryption_seal(text *org_id, text *secret)
{
	KgwKeys		keys;
	text	   *volatile sealed = NULL;

	kgw_key_file_read(&keys);
	PG_TRY();
	{
		sealed = seal_with(&keys.keys[0], org_id, secret);
	}
	PG_FINALLY();
	{
		kgw_key_file_wipe(&keys);
	}
	PG_END_TRY();
	return sealed;
}

/* The bytes behind the hex, or NULL when it is nothing of ours. */
static unsigned char *
decode(text *sealed, size_t *len)
{
	const char *hex = VARDATA_ANY(sealed);
	size_t		hex_len = VARSIZE_ANY_EXHDR(sealed);
	unsigned char *bytes;

	if (hex_len % 2 != 0 || hex_len / 2 < OVERHEAD + 16)
		return NULL;
	for (size_t i = 0; i < hex_len; i++)
	{
		if (strchr("0123456789abcdef", hex[i]) == NULL)
			return NULL;
	}
	bytes = palloc(hex_len / 2);
	*len = hex_decode(hex, hex_len, (char *) bytes);
	return bytes[0] == VERSION ? bytes : NULL;
}

/* What one of the keys makes of it, or NULL when it isn't of that key. */
static text *
unseal_with(const KgwKey *key, text *org_id, const unsigned char *bytes, size_t len)
{
	size_t		signed_len = len - MAC_BYTES;
	bytea	   *mac = authenticate(key, org_id, bytes, signed_len);

	if (VARSIZE_ANY_EXHDR(mac) != MAC_BYTES ||
		CRYPTO_memcmp(VARDATA_ANY(mac), bytes + signed_len, MAC_BYTES) != 0)
		return NULL;
	return crypt_iv("decrypt_iv",
					bytes_of(bytes + 1 + VECTOR_BYTES, signed_len - 1 - VECTOR_BYTES),
					key, bytes + 1);
}

/* What the first key that fits makes of it, or NULL when none does. */
static text *
unseal_by_any(const KgwKeys *keys, text *org_id, text *sealed, bool *by_first)
{
	size_t		len;
	unsigned char *bytes = decode(sealed, &len);
	text	   *secret = NULL;

	for (int i = 0; bytes != NULL && secret == NULL && i < keys->count; i++)
	{
		secret = unseal_with(&keys->keys[i], org_id, bytes, len);
		*by_first = i == 0;
	}
	return secret;
}

/* "client certificate of subscription 7 of organization "acme"" */
static char *
full_name(text *org_id, const KgwSealedName *name)
{
	static const char *const kinds[] = {
		[KGW_SEALED_SECRET] = "secret",
		[KGW_SEALED_SIGNING_KEY] = "signing key",
		[KGW_SEALED_CERTIFICATE] = "client certificate",
		[KGW_SEALED_HEADERS] = "headers"
	};
	StringInfoData full;

	initStringInfo(&full);
	appendStringInfoString(&full, kinds[name->kind]);
	if (name->headers != NULL)
		appendStringInfo(&full, " (%s)", name->headers);
	if (name->subscription_id != 0)
		appendStringInfo(&full, " of subscription " INT64_FORMAT, name->subscription_id);
	else if (name->kind == KGW_SEALED_CERTIFICATE)
		appendStringInfoString(&full, " for own URLs");
	appendStringInfo(&full, " of organization \"%s\"", text_to_cstring(org_id));
	return full.data;
}

static void
refuse_sealed(text *org_id, const KgwSealedName *name, const char *detail, const char *hint)
{
	bool		is_settable = name->kind == KGW_SEALED_CERTIFICATE || name->kind == KGW_SEALED_HEADERS;

	ereport(ERROR,
			(errcode(ERRCODE_CONFIG_FILE_ERROR),
			 errmsg("the %s cannot be decrypted", full_name(org_id, name)),
			 errdetail("%s", detail),
			 errhint("%s%s", hint, !is_settable ? "" : name->kind == KGW_SEALED_HEADERS ?
					 "  Or set them again with kg_set_headers()." :
					 "  Or set it again with kg_set_client_certificate().")));
}

static text *
open_sealed(text *org_id, text *sealed, bool *by_first, const KgwSealedName *name)
{
	KgwKeys		keys;
	text	   *volatile secret = NULL;

	if (!kgw_key_file_set())
		refuse_sealed(org_id, name, "It is encrypted, and \"kgwebhook.key_file\" is not set.",
			   "Set \"kgwebhook.key_file\" to the file with its key and reload the configuration.");
	kgw_key_file_read(&keys);
	PG_TRY();
	{
		secret = unseal_by_any(&keys, org_id, sealed, by_first);
	}
	PG_FINALLY();
	{
		kgw_key_file_wipe(&keys);
	}
	PG_END_TRY();
	if (secret == NULL)
		refuse_sealed(org_id, name, "None of the keys in the file of \"kgwebhook.key_file\" is the one that it was"
			   " encrypted with, or it was made for another organization.",
			   "Add the key to the file as a further line, and reload.");
	return secret;
}

/*
 * The secret behind what is kept, which is that itself where it isn't encrypted; the caller
 * has to wipe it.  *by_first, unless NULL, tells whether it is encrypted with the file's first
 * key.  An error, with this name, when the key file can't be used or doesn't have the key;
 * NULL is for callers that show no error.
 */
text *
kgw_encryption_open(text *org_id, text *kept, bool encrypted, bool *by_first, const KgwSealedName *name)
{
	static const KgwSealedName secret_name = {KGW_SEALED_SECRET, 0, NULL};
	bool		first = false;
	text	   *secret = encrypted ? open_sealed(org_id, kept, &first, name != NULL ? name : &secret_name) : kept;

	if (by_first != NULL)
		*by_first = first;
	return secret;
}
