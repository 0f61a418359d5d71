/*-------------------------------------------------------------------------
 *
 * verify.mjs
 *	  Judges one request by code that shares nothing with the extension.
 *
 * A merchant has three ways to check what it gets, and each is here as a
 * merchant would write it:
 *
 *	  standardwebhooks  the official npm library, on the raw bytes
 *	  canonicalize      parse, drop `signature`, canonicalize with the npm
 *	                    library, HMAC what comes out
 *	  tail              no JSON at all: cut the last 80 bytes, put back "}",
 *	                    HMAC what is left
 *
 * plus the age of the timestamp, which receivers limit to five minutes.  The
 * time of day is an argument, so that a receiver can live an hour later.
 *
 * A check is "valid" or the reason why not.
 *
 * test/receivers/verify.mjs
 *
 *-------------------------------------------------------------------------
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import canonicalize from 'canonicalize';
import { Webhook } from 'standardwebhooks';

/* How old a request may be, seconds. */
const TOLERANCE = 300;

/* Bytes of ,"signature":"<64 hex>"} */
const TAIL = 80;

/*
 * Judges a request.  `raw` is the body as a Buffer, `headers` a map from
 * lower-case name to value, `secrets` the secrets that may have signed it (one
 * that fits is enough), `now` the receiver's clock in Unix seconds.
 */
export function verify(raw, headers, secrets, now) {
	const age = ageOfBody(raw, now);
	const checks = {
		standardwebhooks: best(secrets, (s) => byStandardWebhooks(raw, headers, s, now)),
		canonicalize: best(secrets, (s) => byCanonicalize(raw, s)),
		tail: best(secrets, (s) => byTail(raw, s)),
		age: judgeAge(age),
	};

	return {
		valid: Object.values(checks).every((v) => v === 'valid'),
		checks,
		age_seconds: age,
	};
}

/* The check of the first secret that fits, else that of the last. */
function best(secrets, judge) {
	let check = 'no secret';

	for (const secret of secrets) {
		check = judge(secret);
		if (check === 'valid')
			break;
	}
	return check;
}

/*
 * A secret the library can't decode is a raw one to it, as its own
 * documentation has it for secrets that are not from a Standard Webhooks
 * service.
 */
function standardWebhook(secret) {
	try {
		return new Webhook(secret);
	} catch {
		return new Webhook(Buffer.from(secret, 'utf8'), { format: 'raw' });
	}
}

/* The library asks Date.now() and takes no other clock: it gets ours. */
function byStandardWebhooks(raw, headers, secret, now) {
	const clock = Date.now;

	Date.now = () => now * 1000;
	try {
		standardWebhook(secret).verify(raw, headers);
		return 'valid';
	} catch (error) {
		return error.message;
	} finally {
		Date.now = clock;
	}
}

function byCanonicalize(raw, secret) {
	let message;

	try {
		message = JSON.parse(utf8(raw));
	} catch (error) {
		return `not JSON: ${error.message}`;
	}
	if (message === null || typeof message !== 'object')
		return 'not an object';

	const { signature, ...signed } = message;

	if (typeof signature !== 'string')
		return 'no signature';
	return compare(Buffer.from(canonicalize(signed), 'utf8'), secret, signature);
}

function byTail(raw, secret) {
	const tail = raw.subarray(-TAIL).toString('latin1');
	const match = /^,"signature":"([0-9a-f]{64})"}$/.exec(tail);

	if (!match)
		return 'no signature at the end';

	const signed = Buffer.concat([raw.subarray(0, -TAIL), Buffer.from('}')]);

	return compare(signed, secret, match[1]);
}

function compare(signed, secret, signature) {
	const want = createHmac('sha256', Buffer.from(secret, 'utf8'))
		.update(signed).digest('hex');
	const same = signature.length === want.length &&
		timingSafeEqual(Buffer.from(signature), Buffer.from(want));

	return same ? 'valid' : 'wrong signature';
}

/* Seconds since the request was stamped; null when it isn't. */
function ageOfBody(raw, now) {
	try {
		const { timestamp } = JSON.parse(utf8(raw));

		return Number.isInteger(timestamp) ? now - timestamp : null;
	} catch {
		return null;
	}
}

function judgeAge(age) {
	if (age === null)
		return 'no timestamp';
	if (Math.abs(age) <= TOLERANCE)
		return 'valid';
	return age > 0 ? 'stale' : 'from the future';
}

/* Unlike Buffer's, this refuses what is not UTF-8. */
function utf8(raw) {
	return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw);
}
