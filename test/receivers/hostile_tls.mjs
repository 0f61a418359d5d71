#!/usr/bin/env node
/*-------------------------------------------------------------------------
 *
 * hostile_tls.mjs
 *	  A receiver that breaks every rule of TLS, by seed and by the address it is asked at.
 *
 * At 127.0.1.N it follows plan(SEED, N) of tls_plans.mjs.  Node's TLS library answers the
 * handshake, but what it writes does not go to the wire: it is taken apart into
 * messages, and these are written as the plan says.  Once the client has asked, the answer
 * is sealed here, with the library's keys.
 *
 * --certificates=DIR has NAME.crt and NAME.key for each chain of the plans; the other options and
 * the record are hostile.mjs's.  At 127.0.0.1 and at the last of --addresses it breaks no rule;
 * there the path /endless/NAME brings, instead of an answer, more and more of what the plans
 * may put between records, as fast as it is taken.
 *
 * A client that waits for more than there is would wait for its own timeout.  So where
 * nothing more will come, the connection is closed soon, except where a plan stops.
 *
 * test/receivers/hostile_tls.mjs
 *
 *-------------------------------------------------------------------------
 */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import { parseArgs } from 'node:util';
import { bytesOf, plan } from './tls_plans.mjs';
import { ALERT, CCS, DATA, HANDSHAKE, PLAIN_MAX, Direction, keysByMaster, keysBySecret, takeMessages, takeRecords } from './tls_records.mjs';

const { values: options } = parseArgs({
	options: {
		'port': { type: 'string', default: '0' },
		'host': { type: 'string', default: '127.0.0.1' },
		'addresses': { type: 'string', default: '0' },
		'seed': { type: 'string', default: '1' },
		'certificates': { type: 'string' },
		'port-file': { type: 'string' },
		'record': { type: 'string' },
		'secret-file': { type: 'string' },
	},
});

/* A client that has got all that it gets may go on waiting for so long, in milliseconds. */
const PATIENCE = 1500;

/* Of what is written byte by byte, so many bytes are. */
const BYTE_BY_BYTE = 300;

const LAST = { 12: 14, 13: 20 };	/* ServerHelloDone, Finished */
const harmless = { ...plan(0, 0), version: '13', chain: 'good', fault: null, steps: ['empty data', [0, 38]],
	text: 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n', end: 'notify', said: 200, meant: 200, stops: false };

const contexts = {};

function contextOf({ version, chain }) {
	const file = (name) => fs.readFileSync(path.join(options.certificates, name));
	const key = chain === 'foreign' ? 'foreign' : 'good';
	const only = version === '12' ? 'TLSv1.2' : 'TLSv1.3';

	return contexts[version + chain] ??= tls.createSecureContext({ cert: file(`${chain}.crt`), key: file(`${key}.key`),
		minVersion: only, maxVersion: only,
		ciphers: 'TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256' });
}

function writeDown(record) {
	if (options.record)
		fs.appendFileSync(options.record, JSON.stringify(record) + '\n');
}

/* A message with a byte changed, cut short, and so on: a list of messages. */
function altered(message, { name, byte }) {
	const copy = Buffer.from(message);
	const at = Math.floor(byte * copy.length);

	switch (name) {
		case 'another byte':
			copy[at] ^= 1 << (at % 8);
			return [copy];
		case 'left out':
			return [];
		case 'twice':
			return [message, message];
		case 'cut short':
			return [copy.subarray(0, at)];
		default:
			return [Buffer.concat([copy, Buffer.from([0])])];
	}
}

class Connection {
	constructor(socket, followed) {
		this.socket = socket;
		this.plan = followed;
		this.stage = 'flight';
		this.wire = new Direction();		/* what we write */
		this.wire.fill = followed.n;
		this.library = new Direction();		/* what the library has written */
		this.secrets = {};
		this.raw = Buffer.alloc(0);
		this.handshake = Buffer.alloc(0);
		this.messages = [];
		this.request = Buffer.alloc(0);
		this.connect();
	}

	/* The library's side: it reads from the socket, and what it writes comes to take(). */
	connect() {
		const pipe = new Duplex({ read() {}, write: (chunk, encoding, done) => {
			this.take(chunk);
			done();
		} });

		this.socket.on('data', (data) => pipe.push(data));
		this.socket.on('error', () => {});
		this.socket.on('close', () => pipe.destroy());
		this.socket.setNoDelay(true);
		pipe.on('error', () => {});
		this.tls = new tls.TLSSocket(pipe, { isServer: true, secureContext: contextOf(this.plan) });
		this.tls.on('error', () => this.giveUp());
		this.tls.on('data', (data) => this.hear(data));
		this.tls.on('keylog', (line) => {
			const [label, random, secret] = line.toString().trim().split(' ');

			this.secrets[label] = Buffer.from(secret, 'hex');
			this.clientRandom = Buffer.from(random, 'hex');
		});
	}

	/* What the library has to say: into messages, and by stages on the wire. */
	take(chunk) {
		const [records, rest] = takeRecords(Buffer.concat([this.raw, chunk]));

		this.raw = rest;
		for (const record of records) {
			if (this.stage === 'flight' || this.stage === 'finish')
				this.takeRecord(record[0], record.subarray(5));
		}
	}

	takeRecord(type, body) {
		if (type === CCS) {
			if (this.stage === 'finish')
				this.library.use(this.masterKeys());
			return;
		}
		const plain = this.library.keys ? this.library.open(type, body) : { type, bytes: body };

		if (plain.type !== HANDSHAKE)
			return this.giveUp();
		const [messages, rest] = takeMessages(Buffer.concat([this.handshake, plain.bytes]));

		this.handshake = rest;
		this.messages.push(...messages);
		if (this.messages[0]?.[0] === 2 && this.plan.version === '13' && !this.library.keys)
			this.library.use(keysBySecret(this.secrets.SERVER_HANDSHAKE_TRAFFIC_SECRET));
		if (messages.some((message) => message[0] === (this.stage === 'flight' ? LAST[this.plan.version] : 20)))
			this.endStage();
	}

	masterKeys() {
		return keysByMaster(this.secrets.CLIENT_RANDOM, this.clientRandom, this.serverRandom);
	}

	endStage() {
		const messages = this.messages;

		this.messages = [];
		if (this.stage === 'finish') {
			this.stage = 'answer';
			return this.say('finish', this.finish(messages));
		}
		this.serverRandom = messages[0].subarray(6, 38);
		this.stage = this.plan.version === '12' ? 'finish' : 'answer';
		this.say('flight', this.flight(messages));
	}

	/* The plan's fault, if it is in this stage. */
	faultIn(stage) {
		return this.plan.fault?.stage === stage ? this.plan.fault : null;
	}

	insertAt(stage, i, count) {
		const fault = this.faultIn(stage);

		return fault?.step === undefined && ['legal', 'limit', 'breach'].includes(fault?.kind) &&
			i === Math.min(1 + Math.floor(fault.at * (count - 1)), count - 1) ? bytesOf(fault.name, this.wire) : [];
	}

	alter(stage, messages) {
		const fault = this.faultIn(stage);
		const at = Math.floor((fault?.at ?? 0) * messages.length);

		return fault?.kind === 'alter' ? messages.flatMap((message, i) => i === at ? altered(message, fault) : [message]) : messages;
	}

	/* A message, or several, in records as the plan has it. */
	inRecords(bytes) {
		const size = { joined: PLAIN_MAX, whole: PLAIN_MAX, pieces: 100, bytes: 1 }[this.plan.split];
		const records = [];

		for (let at = 0; at < bytes.length;) {
			const length = size === 1 && at >= BYTE_BY_BYTE ? 1000 : size;

			records.push(this.wire.record(HANDSHAKE, bytes.subarray(at, at + length), this.plan.padding));
			at += length;
		}
		return records;
	}

	/* The server's first flight.  By TLS 1.3 its first message is in the clear. */
	flight(messages) {
		const first = this.faultIn('first')?.kind === 'breach' ? bytesOf(this.plan.fault.name, this.wire) : [];
		const said = this.alter('flight', messages);
		const records = [...first];
		const joined = this.plan.split === 'joined' && this.faultIn('flight') === null;

		said.forEach((message, i) => {
			if (i > 0)
				records.push(...this.insertAt('flight', i, said.length));
			if (!joined || i === 0)
				records.push(...this.inRecords(message));
			if (i === 0 && this.plan.version === '13')
				this.wire.use(keysBySecret(this.secrets.SERVER_HANDSHAKE_TRAFFIC_SECRET));
		});
		if (joined)
			records.push(...this.inRecords(Buffer.concat(said.slice(1))));
		if (this.plan.version === '13')
			this.wire.use(keysBySecret(this.secrets.SERVER_TRAFFIC_SECRET_0));
		return records;
	}

	/* The end of a handshake by TLS 1.2: a ticket, ChangeCipherSpec, and Finished. */
	finish(messages) {
		const said = this.alter('finish', messages);
		const records = [];

		said.forEach((message, i) => {
			records.push(...(i > 0 || said.length === 1 ? this.insertAt('finish', Math.max(i, 1), 2) : []));
			if (message[0] === 20 && this.wire.keys === null) {
				records.push(this.wire.clear(CCS, Buffer.from([1])));
				this.wire.use(this.masterKeys());
			}
			records.push(...this.inRecords(message));
		});
		if (this.wire.keys === null)
			this.wire.use(this.masterKeys());
		return records;
	}

	/* What the client asks; once that is whole, it is answered. */
	hear(data) {
		this.request = Buffer.concat([this.request, data]);
		const at = this.request.indexOf('\r\n\r\n');

		if (at < 0 || this.heard)
			return;
		const length = Number(/content-length: (\d+)/i.exec(this.request.subarray(0, at).toString('latin1'))[1]);

		if (this.request.length < at + 4 + length)
			return;
		this.heard = true;
		const target = this.request.toString('latin1').split(' ')[1];

		writeDown({ path: target, n: this.plan.n, json: JSON.parse(this.request.subarray(at + 4).toString()) });
		if (target.startsWith('/endless/'))
			this.flood(decodeURIComponent(target.slice('/endless/'.length)));
		else
			this.answer();
	}

	answer() {
		const fault = this.faultIn('answer');
		const insert = fault !== null && fault.kind !== 'cut';
		const text = Buffer.from(this.plan.text);
		const steps = [...this.plan.steps];

		if (insert)
			steps.splice(fault.step, 0, fault.name);
		const records = steps.map((step) => Array.isArray(step) ?
			this.wire.seal(DATA, text.subarray(...step), this.plan.padding) : Buffer.concat(bytesOf(step, this.wire)));

		if (fault?.kind === 'cut')
			records.splice(fault.step, records.length, records[fault.step].subarray(0, Math.floor(fault.at * records[fault.step].length)));
		this.say('answer', records);
	}

	flood(name) {
		const go = () => {
			if (!this.socket.destroyed && this.socket.write(Buffer.concat(bytesOf(name, this.wire))))
				setImmediate(go);
		};

		this.socket.on('drain', go);
		go();
	}

	/* Writes a stage's records, as far as they go. */
	say(stage, records) {
		const fault = this.faultIn(stage);
		const cut = fault?.kind === 'cut';
		let bytes = records;

		if (cut && stage !== 'answer') {
			const whole = Buffer.concat(records);

			bytes = [whole.subarray(0, Math.floor(fault.at * whole.length))];
		}
		this.write(bytes);
		if (cut)
			this.end(fault.how);
		else if (stage === 'answer')
			this.end(this.plan.end);
		else if (this.plan.meant === null)
			setTimeout(() => this.giveUp(), PATIENCE);
	}

	write(records) {
		const whole = Buffer.concat(records);

		if (this.plan.wire === 'records' && records.length < 100) {
			records.forEach((record) => this.socket.write(record));
			return;
		}
		const single = this.plan.wire === 'bytes' ? Math.min(BYTE_BY_BYTE, whole.length) : 0;

		for (let i = 0; i < single; i++)
			this.socket.write(whole.subarray(i, i + 1));
		this.socket.write(whole.subarray(single));
	}

	end(how) {
		switch (how) {
			case 'notify':
				this.socket.end(this.wire.record(ALERT, Buffer.from([1, 0])));
				break;
			case 'alert':
				this.socket.end(this.wire.record(ALERT, Buffer.from([2, 80])));
				break;
			case 'garbage':
				this.socket.end('HTTP/1.1 500 No\r\n\r\n');
				break;
			case 'close':
				this.socket.end();
				break;
			case 'stop':
				if (this.plan.stops)
					return;
				break;
			default:
				this.socket.write('', () => setImmediate(() => this.socket.resetAndDestroy()));
		}
		setTimeout(() => this.giveUp(), PATIENCE);
	}

	giveUp() {
		if (!this.plan.stops)
			this.socket.end();
	}
}

function listen(port, host, followed, then) {
	const server = net.createServer((socket) => new Connection(socket, followed));

	server.listen(port, host, () => then(server.address().port));
}

const count = Number(options.addresses);

listen(Number(options.port), options.host, harmless, (port) => {
	let missing = count;
	const announce = () => {
		fs.writeFileSync(`${options['port-file']}.new`, `${port}\n`);
		fs.renameSync(`${options['port-file']}.new`, options['port-file']);
	};

	if (missing === 0)
		announce();
	for (let i = 1; i <= count; i++)
		listen(port, `127.0.1.${i}`, i === count ? harmless : plan(Number(options.seed), i), () => --missing === 0 && announce());
});

process.on('SIGTERM', () => process.exit(0));
