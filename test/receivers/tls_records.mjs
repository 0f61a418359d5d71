/*-------------------------------------------------------------------------
 *
 * tls_records.mjs
 *	  Records of TLS 1.2 and 1.3, written and read by hand.
 *
 * No TLS library writes a wrong record.  So the handshakes are made by Node's, whose keys
 * are known by its key log, and the records around them are ours: they can be of any
 * size and number, and hold what no library would put there.
 *
 * Only AES-128-GCM with SHA-256: ECDHE-ECDSA-AES128-GCM-SHA256 (RFC 5288) and
 * TLS_AES_128_GCM_SHA256 (RFC 8446).
 *
 * test/receivers/tls_records.mjs
 *
 *-------------------------------------------------------------------------
 */
import crypto from 'node:crypto';

export const CCS = 20;
export const ALERT = 21;
export const HANDSHAKE = 22;
export const DATA = 23;

/* What sealing adds: the tag at the end, and by TLS 1.2 a nonce before. */
const TAG = 16;
const EXPLICIT = 8;

/* What a record may hold; padding counts, too. */
export const PLAIN_MAX = 16384;

export function header(type, length, version = 0x0303) {
	return Buffer.from([type, version >> 8, version & 255, length >> 8, length & 255]);
}

/* A handshake message. */
export function message(type, bytes) {
	const head = Buffer.alloc(4);

	head.writeUInt32BE(bytes.length);
	head[0] = type;
	return Buffer.concat([head, bytes]);
}

function hmac(key, ...bytes) {
	return crypto.createHmac('sha256', key).update(Buffer.concat(bytes)).digest();
}

/* HKDF-Expand-Label of RFC 8446, for up to 32 bytes without a context. */
function expandLabel(secret, label, length) {
	const name = Buffer.from(`tls13 ${label}`);

	return hmac(secret, Buffer.from([0, length, name.length]), name, Buffer.from([0, 1])).subarray(0, length);
}

/* The PRF of RFC 5246. */
function prf(secret, label, seed, length) {
	const start = Buffer.concat([Buffer.from(label), seed]);
	let a = start;
	let output = Buffer.alloc(0);

	while (output.length < length) {
		a = hmac(secret, a);
		output = Buffer.concat([output, hmac(secret, a, start)]);
	}
	return output.subarray(0, length);
}

/* How a server's records are sealed: by a traffic secret of TLS 1.3 ... */
export function keysBySecret(secret) {
	return { secret, key: expandLabel(secret, 'key', 16), iv: expandLabel(secret, 'iv', 12) };
}

/* ... and by the master secret of TLS 1.2. */
export function keysByMaster(master, clientRandom, serverRandom) {
	const block = prf(master, 'key expansion', Buffer.concat([serverRandom, clientRandom]), 40);

	return { key: block.subarray(16, 32), iv: block.subarray(36, 40) };
}

/* One direction of a connection: what it is sealed by, and the number of the next record. */
export class Direction {
	constructor() {
		this.keys = null;
		this.number = 0n;
	}

	use(keys) {
		this.keys = keys;
		this.number = 0n;
	}

	/* As after a KeyUpdate. */
	update() {
		this.use(keysBySecret(expandLabel(this.keys.secret, 'traffic upd', 32)));
	}

	is13() {
		return this.keys.secret !== undefined;
	}

	counter() {
		const bytes = Buffer.alloc(8);

		bytes.writeBigUInt64BE(this.number++);
		return bytes;
	}

	nonce13(counter) {
		const nonce = Buffer.from(this.keys.iv);

		counter.forEach((byte, i) => {
			nonce[4 + i] ^= byte;
		});
		return nonce;
	}

	/* A record as it stands, under no key. */
	clear(type, bytes, version) {
		return Buffer.concat([header(type, bytes.length, version), bytes]);
	}

	padded(type, bytes, padding) {
		return Buffer.concat([bytes, Buffer.from([type]), Buffer.alloc(Math.max(Math.min(padding, PLAIN_MAX - bytes.length), 0))]);
	}

	seal(type, bytes, padding = 0) {
		const counter = this.counter();
		const plain = this.is13() ? this.padded(type, bytes, padding) : bytes;
		const head = this.is13() ? header(DATA, plain.length + TAG) : header(type, EXPLICIT + plain.length + TAG);
		const nonce = this.is13() ? this.nonce13(counter) : Buffer.concat([this.keys.iv, counter]);
		const cipher = crypto.createCipheriv('aes-128-gcm', this.keys.key, nonce);

		cipher.setAAD(this.is13() ? head : Buffer.concat([counter, header(type, plain.length)]));
		const sealed = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);

		return Buffer.concat(this.is13() ? [head, sealed] : [head, counter, sealed]);
	}

	record(type, bytes, padding) {
		return this.keys ? this.seal(type, bytes, padding) : this.clear(type, bytes);
	}

	/* What is in a sealed record of Node's: { type, bytes }. */
	open(type, body) {
		const counter = this.counter();
		const sealed = this.is13() ? body : body.subarray(EXPLICIT);
		const nonce = this.is13() ? this.nonce13(counter) : Buffer.concat([this.keys.iv, body.subarray(0, EXPLICIT)]);
		const decipher = crypto.createDecipheriv('aes-128-gcm', this.keys.key, nonce);
		const length = sealed.length - TAG;

		decipher.setAAD(this.is13() ? header(type, body.length) : Buffer.concat([counter, header(type, length)]));
		decipher.setAuthTag(sealed.subarray(length));
		const plain = Buffer.concat([decipher.update(sealed.subarray(0, length)), decipher.final()]);

		/* Node pads nothing */
		return this.is13() ? { type: plain[plain.length - 1], bytes: plain.subarray(0, -1) } : { type, bytes: plain };
	}
}

/* Takes whole things from what has come: records, or handshake messages. */
function takeWhole(buffer, headLength, lengthOf) {
	const whole = [];
	let rest = buffer;

	while (rest.length >= headLength && rest.length >= headLength + lengthOf(rest)) {
		const length = headLength + lengthOf(rest);

		whole.push(rest.subarray(0, length));
		rest = rest.subarray(length);
	}
	return [whole, rest];
}

export function takeRecords(buffer) {
	return takeWhole(buffer, 5, (rest) => rest.readUInt16BE(3));
}

export function takeMessages(buffer) {
	return takeWhole(buffer, 4, (rest) => rest.readUIntBE(1, 3));
}
