#!/usr/bin/env node
/*-------------------------------------------------------------------------
 *
 * verify_key.mjs
 *	  Judges a request by public keys only, as a receiver without a secret would.
 *
 * Standard input is JSON: { jwks, headers, body }.  The keys are read and named by the npm
 * library jose, and the signatures verified by the Web Crypto API.  Prints a line for
 * each "v1a" in webhook-signature: the identifier of the key that verifies it, or "none".
 *
 * test/receivers/verify_key.mjs
 *
 *-------------------------------------------------------------------------
 */
import fs from 'node:fs';
import { calculateJwkThumbprint, importJWK } from 'jose';

const { jwks, headers, body } = JSON.parse(fs.readFileSync(0, 'utf8'));
const message = Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`);
const keys = await Promise.all(jwks.keys.map(async (jwk) => ({
	id: jwk.kid === await calculateJwkThumbprint(jwk) ? jwk.kid : `misnamed ${jwk.kid}`,
	key: await importJWK(jwk, jwk.alg),
})));

for (const [version, signature] of headers['webhook-signature'].split(' ').map((s) => s.split(','))) {
	if (version !== 'v1a')
		continue;
	let signer = 'none';

	for (const { id, key } of keys)
		if (await crypto.subtle.verify('Ed25519', key, Buffer.from(signature, 'base64'), message))
			signer = id;
	console.log(signer);
}
