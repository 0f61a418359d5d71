#!/usr/bin/env node
/*-------------------------------------------------------------------------
 *
 * verify_http.mjs
 *	  Judges a request by its HTTP Message Signature (RFC 9421), with the npm library
 *	  http-message-signatures, and its Content-Digest (RFC 9530).
 *
 * Standard input is JSON: { jwks, origin, path, headers, body_base64 }.  Prints the key's
 * identifier and "valid", or what is wrong.
 *
 * test/receivers/verify_http.mjs
 *
 *-------------------------------------------------------------------------
 */
import { createHash, createPublicKey } from 'node:crypto';
import fs from 'node:fs';
import { createVerifier, httpbis } from 'http-message-signatures';

const { jwks, origin, path, headers, body_base64 } = JSON.parse(fs.readFileSync(0, 'utf8'));
const digest = createHash('sha256').update(Buffer.from(body_base64, 'base64')).digest('base64');
let signer = 'unknown key';

function keyLookup({ keyid }) {
	const jwk = jwks.keys.find(({ kid }) => kid === keyid);

	if (!jwk)
		return null;
	signer = keyid;
	return {
		id: keyid,
		algs: ['ed25519'],
		verify: createVerifier(createPublicKey({ key: jwk, format: 'jwk' }), 'ed25519'),
	};
}

async function judge() {
	if (headers['content-digest'] !== `sha-256=:${digest}:`)
		return 'wrong digest';
	try {
		const result = await httpbis.verifyMessage({
			keyLookup,
			tolerance: 300,
			requiredParams: ['created', 'keyid', 'alg', 'tag'],
			requiredFields: ['@method', '@authority', '@path', '@query', 'content-digest', 'content-type',
				'webhook-id', 'webhook-timestamp'],
		}, { method: 'POST', url: origin + path, headers });

		return result ? `${signer} valid` : result === null ? 'no signature' : 'wrong signature';
	} catch (error) {
		return error.message;
	}
}

console.log(await judge());
