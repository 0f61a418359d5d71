/*-------------------------------------------------------------------------
 *
 * test_keyring.c
 *	  Every second of a rotation belongs to one phase.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/keyring.h"

#include "tap.h"

/* Who signs at that second: "a" the old one, "b" the new one; the body's first. */
static const char *
signers_at(const KgwKeyring *keyring, int64_t now)
{
	static char names[KGW_KEYRING_MAX + 1];
	KgwSigner  *signers[KGW_KEYRING_MAX];
	int			count = kgw_keyring_signers(keyring, now, signers);
	int			i;

	for (i = 0; i < count; i++)
		names[i] = signers[i] == keyring->current ? 'a' : 'b';
	names[count] = '\0';
	return names;
}

static void
test_phases(KgwKeyring *keyring)
{
	int64_t		now;
	int			wrong = 0;

	keyring->activates_at = 1000;
	keyring->retires_at = 1010;
	is_str(signers_at(keyring, 999), "ab", "until the activation the old one signs the body");
	is_str(signers_at(keyring, 1000), "ba", "from its second on the new one does");
	is_str(signers_at(keyring, 1009), "ba", "both sign the header until the old one retires");
	is_str(signers_at(keyring, 1010), "b", "from that second on only the new one does");
	for (now = 990; now < 1020; now++)
	{
		const char *names = signers_at(keyring, now);

		wrong += strcmp(names, now < 1000 ? "ab" : now < 1010 ? "ba" : "b") != 0;
		wrong += kgw_keyring_retired(keyring, now) != (now >= 1010);
	}
	ok(wrong == 0, "no second belongs to no phase or to two");
	is_str(signers_at(keyring, INT64_MIN), "ab", "long before");
	is_str(signers_at(keyring, INT64_MAX), "b", "long after");
}

/* Which keys sign at that second, as above. */
static const char *
keys_at(const KgwKeyring *keyring, int64_t now)
{
	static char names[KGW_KEYRING_MAX + 1];
	KgwSigningKey *keys[KGW_KEYRING_MAX];
	int			count = kgw_keyring_keys(keyring, now, keys);
	int			i;

	for (i = 0; i < count; i++)
		names[i] = keys[i] == keyring->key ? 'a' : 'b';
	names[count] = '\0';
	return names;
}

static KgwSigningKey *
make_key(unsigned char first)
{
	unsigned char seed[KGW_SIGNING_KEY_SEED] = {first};
	char		private_text[KGW_SIGNING_KEY_PRIVATE_SIZE];
	char		public_text[KGW_SIGNING_KEY_PUBLIC_SIZE];

	ok(kgw_signing_key_make(seed, private_text, public_text), "a signing key");
	return kgw_signing_key_new(private_text, strlen(private_text));
}

static void
test_keys(void)
{
	KgwKeyring	keyring = {0};

	is_str(keys_at(&keyring, 0), "", "no key");
	keyring.key = make_key(1);
	is_str(keys_at(&keyring, 0), "a", "one");
	keyring.next_key = make_key(2);
	keyring.key_activates_at = 1000;
	keyring.key_retires_at = 1010;
	is_str(keys_at(&keyring, 999), "ab", "until the activation the old one comes first");
	is_str(keys_at(&keyring, 1000), "ba", "from its second on the new one does");
	is_str(keys_at(&keyring, 1009), "ba", "both sign until the old one retires");
	is_str(keys_at(&keyring, 1010), "b", "from that second on only the new one does");
	ok(!kgw_keyring_key_retired(&keyring, 1009) && kgw_keyring_key_retired(&keyring, 1010), "and it has retired");
	ok(!kgw_keyring_retired(&keyring, 1010), "which is nothing to the secrets");
	ok(!kgw_keyring_signs_http(&keyring, 0), "no HTTP message is signed");
	kgw_keyring_clear(&keyring);
	is_str(keys_at(&keyring, 1000), "", "cleared");
}

static void
test_faults(void)
{
	KgwKeyring	keyring = {0};

	is_str(kgw_keyring_fault(&keyring, 7), NULL, "no fault");
	ok(kgw_keyring_fault_add(&keyring, 7, "the headers") && kgw_keyring_fault_add(&keyring, 0, "the certificate"), "two endpoints have one");
	is_str(kgw_keyring_fault(&keyring, 7), "the headers", "a subscription's");
	is_str(kgw_keyring_fault(&keyring, 0), "the certificate", "own URLs'");
	is_str(kgw_keyring_fault(&keyring, 8), NULL, "and no other's");
	keyring.fault = "the secret";
	is_str(kgw_keyring_fault(&keyring, 7), "the secret", "the keyring's comes first");
	is_str(kgw_keyring_fault(&keyring, 8), "the secret", "and is everyone's");
	kgw_keyring_clear(&keyring);
	is_str(kgw_keyring_fault(&keyring, 7), NULL, "cleared");
}

static void
test_short_ones(KgwKeyring *keyring)
{
	keyring->activates_at = 1000;
	keyring->retires_at = 1000;
	is_str(signers_at(keyring, 999), "ab", "nothing kept: both until the activation");
	is_str(signers_at(keyring, 1000), "b", "and only the new one from it on");

	/* not by kg_rotate_secret(), but by hand */
	keyring->retires_at = 900;
	is_str(signers_at(keyring, 950), "ab", "nothing retires before there is another");
	is_str(signers_at(keyring, 1000), "b", "but then it does");
	keyring->activates_at = keyring->retires_at = INT64_MAX;
	is_str(signers_at(keyring, 1000), "ab", "one that never comes");
}

int
main(void)
{
	KgwKeyring	keyring = {0};

	is_str(signers_at(&keyring, 1000), "", "nothing signs for an empty one");
	ok(!kgw_keyring_retired(&keyring, 1000), "in which nothing retires");
	keyring.current = kgw_signature_signer_new("the old secret", 14);
	is_str(signers_at(&keyring, 1000), "a", "one secret signs all");
	ok(!kgw_keyring_retired(&keyring, 1000), "and doesn't retire");
	keyring.next = kgw_signature_signer_new("the new secret", 14);
	test_phases(&keyring);
	test_short_ones(&keyring);
	kgw_keyring_clear(&keyring);
	ok(keyring.current == NULL && keyring.next == NULL, "nothing is left of it");
	kgw_keyring_clear(&keyring);
	test_keys();
	test_faults();
	return done_testing();
}
