#!/usr/bin/env node
/*-------------------------------------------------------------------------
 *
 * tls_plans.mjs --seed=N --count=N
 *	  What a hostile server does with TLS and says inside of it, by seed, and what is
 *	  to come of it.
 *
 * plan(seed, n) makes the n-th: a version, a chain of certificates, and a stage for each
 * flight of the server's: how its messages are split into records, what is put between
 * them, what is altered, and where it ends.  hostile_tls.mjs follows it.  As a program,
 * this writes a line for each.
 *
 * A plan has at most one fault.  What is put in between is legal, or it is too much of what is
 * legal, where an implementation may draw a line, or it breaks a rule of RFC 5246 or 8446.
 * "said" is the status in the answer, if its headers are sent in whole at all; "meant" is
 * the same, or null if a rule was broken before: then nobody may rely on it.  What comes
 * after the headers changes nothing, by docs/operations.md.
 *
 * test/receivers/tls_plans.mjs
 *
 *-------------------------------------------------------------------------
 */
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { randomOf } from './answers.mjs';
import { ALERT, CCS, DATA, HANDSHAKE, PLAIN_MAX, header, message } from './tls_records.mjs';

const ok = Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
const nothing = Buffer.alloc(0);
const changeCipherSpec = header(CCS, 1);

function many(n, one) {
	return Array.from({ length: n }, one);
}

function ticket(w, length, extra = nothing) {
	const start = Buffer.from([0, 0, 28, 32, 1, 2, 3, 4, 1, 7]);
	const size = Buffer.from([length >> 8, length & 255]);

	return message(4, Buffer.concat([start, size, Buffer.alloc(length, w.fill++ & 255), Buffer.from([0, 0]), extra]));
}

function keyUpdate(w, request) {
	const record = w.seal(HANDSHAKE, message(24, Buffer.from([request])));

	w.update();
	return record;
}

/* A long message in as many records as it takes. */
function inRecords(w, bytes) {
	return many(Math.ceil(bytes.length / PLAIN_MAX), (_, i) =>
		w.record(HANDSHAKE, bytes.subarray(i * PLAIN_MAX, (i + 1) * PLAIN_MAX)));
}

function flipped(record) {
	record[record.length - 1] ^= 1;
	return record;
}

/*
 * What may be put between records: whether it is legal; in which versions; in which stages;
 * and its bytes.  "w" is the direction that is written to.
 */
const between = {
	/* legal */
	'empty data': ['legal', '12 13', 'answer', (w) => [w.record(DATA, nothing)]],
	ccs: ['legal', '13', 'flight', () => [Buffer.concat([changeCipherSpec, Buffer.from([1])])]],
	ticket: ['legal', '13', 'answer', (w) => inRecords(w, ticket(w, 200))],
	'ticket in pieces': ['legal', '13', 'answer', (w) => [...ticket(w, 30)].map((byte) => w.record(HANDSHAKE, Buffer.from([byte])))],
	'key update': ['legal', '13', 'answer', (w) => [keyUpdate(w, 0)]],
	'key update, asked for': ['legal', '13', 'answer', (w) => [keyUpdate(w, 1)]],

	/* too much of it, or what may be refused */
	'much empty data': ['limit', '12 13', 'answer', (w) => many(2000, () => w.record(DATA, nothing))],
	'many ccs': ['limit', '13', 'flight', () => many(3000, () => Buffer.concat([changeCipherSpec, Buffer.from([1])]))],
	'many tickets': ['limit', '13', 'answer', (w) => many(500, () => w.record(HANDSHAKE, ticket(w, 200)))],
	'large ticket': ['limit', '13', 'answer', (w) => inRecords(w, ticket(w, 65000))],
	'many key updates': ['limit', '13', 'answer', (w) => many(1000, () => keyUpdate(w, 0))],
	'many key updates, asked for': ['limit', '13', 'answer', (w) => many(1000, () => keyUpdate(w, 1))],
	'a request for a certificate': ['limit', '13', 'answer', (w) => [w.record(HANDSHAKE, message(13, Buffer.from([1, 7, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3])))]],
	warning: ['limit', '12', 'flight finish answer', (w) => [w.record(ALERT, Buffer.from([1, 112]))]],
	'many warnings': ['limit', '12 13', 'flight answer', (w) => many(1000, () => w.record(ALERT, Buffer.from([1, 90])))],
	renegotiation: ['limit', '12', 'answer', (w) => [w.record(HANDSHAKE, message(0, nothing))]],
	'many renegotiations': ['limit', '12', 'answer', (w) => many(500, () => w.record(HANDSHAKE, message(0, nothing)))],

	/* what no one may send */
	'empty handshake record': ['breach', '12 13', 'flight answer', (w) => [w.record(HANDSHAKE, nothing)]],
	'unknown type': ['breach', '12 13', 'flight finish answer', (w) => [w.record(99, ok)]],
	'unknown type in the clear': ['breach', '12 13', 'flight finish answer', (w) => [w.clear(24, ok)]],
	'record too long': ['breach', '12 13', 'flight finish answer', () => [header(HANDSHAKE, 18433), Buffer.alloc(18433)]],
	'record of 64 kB': ['breach', '12 13', 'flight finish answer', () => [header(DATA, 65535), Buffer.alloc(65535)]],
	'text too long': ['breach', '12 13', 'answer', (w) => [w.seal(DATA, Buffer.alloc(PLAIN_MAX + 1, ok))]],
	'fatal alert': ['breach', '12 13', 'flight finish answer', (w) => [w.record(ALERT, Buffer.from([2, 40]))]],
	'unknown alert': ['breach', '12 13', 'flight finish answer', (w) => [w.record(ALERT, Buffer.from([2, 250]))]],
	'close_notify': ['breach', '12 13', 'flight finish answer', (w) => [w.record(ALERT, Buffer.from([1, 0]))]],
	'alert in the clear': ['breach', '12 13', 'finish answer', (w) => [w.clear(ALERT, Buffer.from([1, 0]))]],
	'half an alert': ['breach', '12 13', 'flight finish answer', (w) => [w.record(ALERT, Buffer.from([1]))]],
	'alert and a half': ['breach', '12 13', 'flight finish answer', (w) => [w.record(ALERT, Buffer.from([1, 90, 1]))]],
	'empty alert': ['breach', '12 13', 'flight finish answer', (w) => [w.record(ALERT, nothing)]],
	garbage: ['breach', '12 13', 'first flight finish answer', () => [Buffer.from('220 mail.example ESMTP, at your service\r\n')]],
	'answer in the clear': ['breach', '12 13', 'first flight finish answer', () => [ok]],
	'data in the clear': ['breach', '12 13', 'first flight finish answer', (w) => [w.clear(DATA, ok)]],
	'data in a handshake': ['breach', '12 13', 'flight', (w) => [w.record(DATA, ok)]],
	'unknown message': ['breach', '12 13', 'flight finish answer', (w) => [w.record(HANDSHAKE, message(99, ok))]],
	'endless message': ['breach', '12 13', 'flight finish answer', (w) => many(300, (_, i) =>
		w.record(HANDSHAKE, i === 0 ? message(11, Buffer.alloc(0xffffff)).subarray(0, PLAIN_MAX) : Buffer.alloc(PLAIN_MAX)))],
	'another finished': ['breach', '12 13', 'flight answer', (w) => [w.record(HANDSHAKE, message(20, Buffer.alloc(32)))]],
	'ccs too early': ['breach', '12', 'first flight', () => [changeCipherSpec, Buffer.from([1])]],
	'ccs too late': ['breach', '12 13', 'answer', () => [changeCipherSpec, Buffer.from([1])]],
	'ccs of 2': ['breach', '13', 'flight', () => [changeCipherSpec, Buffer.from([2])]],
	'another byte': ['breach', '12 13', 'answer', (w) => [flipped(w.seal(DATA, nothing))]],
	'a record missing': ['breach', '12 13', 'answer', (w) => [w.seal(DATA, ok).subarray(0, 0)]],
	'a record twice': ['breach', '12 13', 'answer', (w) => many(2, ((record) => () => record)(w.seal(DATA, nothing)))],
	'key update of 2': ['breach', '13', 'answer', (w) => [keyUpdate(w, 2)]],
	'key update that is none': ['breach', '13', 'answer', (w) => [w.seal(HANDSHAKE, message(24, Buffer.from([0])))]],
	'key update within a record': ['breach', '13', 'answer', (w) => [w.seal(HANDSHAKE, Buffer.concat([message(24, Buffer.from([0])), ticket(w, 9)]))]],
	'nothing but padding': ['breach', '13', 'answer', (w) => [w.seal(0, nothing, 100)]],
	'ticket with more behind': ['breach', '13', 'answer', (w) => inRecords(w, ticket(w, 50, ok))],
	'data within a ticket': ['breach', '13', 'answer', (w) => ((whole) => [w.record(HANDSHAKE, whole.subarray(0, 20)),
		w.record(DATA, nothing), w.record(HANDSHAKE, whole.subarray(20))])(ticket(w, 50))],
};

/* The bytes of what a plan names. */
export function bytesOf(name, w) {
	return between[name][3](w);
}

const statuses = [200, 200, 201, 204, 400, 410, 500, 503];
const stageNames = { 12: ['first', 'flight', 'finish', 'answer'], 13: ['first', 'flight', 'answer'] };

/* Behind the last message, a byte more is the beginning of another, which is no breach. */
const alterations = { flight: ['another byte', 'left out', 'twice', 'cut short', 'longer'],
	finish: ['another byte', 'left out', 'twice', 'cut short'] };

class Plan {
	constructor(seed, n) {
		this.random = randomOf(seed * 100003 + n);
		this.n = n;
		this.version = this.oneOf('12', '13');
		this.chain = 'good';
		this.breaks = [];
		this.limits = [];
		this.answered = this.answer();
	}

	upTo(n) {
		return Math.floor(this.random() * n);
	}

	oneOf(...list) {
		return list[this.upTo(list.length)];
	}

	/* What can be put between the records of a stage. */
	choice(kind, stage) {
		return Object.keys(between).filter((name) => between[name][0] === kind &&
			between[name][1].includes(this.version) && between[name][2].split(' ').includes(stage));
	}

	/* An answer: its head, its body, and in which pieces they are sealed. */
	answer() {
		const status = this.oneOf(...statuses);
		const body = status === 204 ? '' : this.oneOf('', 'ok', 'x'.repeat(5000), 'x'.repeat(50000));
		const [framing, sent] = this.oneOf(
			[`content-length: ${body.length}\r\n`, body],
			['transfer-encoding: chunked\r\n', body === '' ? '0\r\n\r\n' : `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`],
			['connection: close\r\n', body]);
		const head = `HTTP/1.1 ${status} Said\r\n${this.oneOf('', 'server: x\r\n', `x: ${'y'.repeat(2000)}\r\n`)}${framing}\r\n`;

		return { status, head: head.length, text: head + (status === 204 ? '' : sent), pieces: this.oneOf(1, 40, 3000, PLAIN_MAX) };
	}

	/* The answer's records, one after the other: [from, to] of the text, or a name. */
	answerSteps() {
		const { text, pieces } = this.answered;
		const steps = [];

		for (let at = 0; at < text.length;) {
			/* of a long text, only the beginning comes byte by byte */
			const length = at > 300 && pieces < 3000 ? 3000 : 1 + this.upTo(pieces);

			if (steps.length < 40 && this.random() < 0.15)
				steps.push(this.oneOf(...this.choice('legal', 'answer')));
			steps.push([at, Math.min(at + length, text.length)]);
			at += length;
		}
		return steps;
	}

	/* One thing that is wrong, somewhere; null: nothing. */
	fault() {
		const stage = this.oneOf(...stageNames[this.version]);
		const kind = this.oneOf(null, null, 'legal', 'limit', 'limit', 'breach', 'breach', 'breach', 'alter', 'cut', 'cut', 'chain');
		const names = this.choice(kind, stage);

		switch (kind) {
			case null:
				return null;
			case 'alter':
				return this.alteration(this.version === '12' ? this.oneOf('flight', 'finish') : 'flight');
			case 'cut':
				return { kind, stage: stage === 'first' ? 'flight' : stage, name: 'cut', at: this.random(),
					how: this.oneOf('close', 'reset', 'stop') };
			case 'chain':
				return { kind, stage: 'first', name: this.oneOf('foreign', 'long', 'huge') };
			default:
				return names.length === 0 ? null : { kind, stage, name: this.oneOf(...names), at: this.random() };
		}
	}

	alteration(stage) {
		return { kind: 'alter', stage, name: this.oneOf(...alterations[stage]), at: this.random(), byte: this.random() };
	}

	/* Where the fault stands among the answer's records, and whether that is before the headers' end. */
	placeInAnswer(fault, steps) {
		const at = Math.floor(fault.at * (steps.length + (fault.kind === 'cut' ? 0 : 1)));
		const before = steps.slice(0, at).filter(Array.isArray).pop();

		fault.step = at;
		return before === undefined || before[1] < this.answered.head;
	}

	make() {
		const steps = this.answerSteps();
		const fault = this.fault();
		let early = fault !== null;
		let said = this.answered.status;

		if (fault?.stage === 'answer')
			early = this.placeInAnswer(fault, steps);
		if (early && fault.kind === 'cut')
			said = null;
		if (fault?.kind === 'chain')
			this.chain = fault.name;
		if (early && (fault.kind === 'limit' || fault.name === 'huge'))
			this.limits.push(fault.name);
		if (early && (fault.kind === 'breach' || fault.kind === 'alter' || fault.name === 'foreign'))
			this.breaks.push(fault.name);
		const made = {
			n: this.n, version: this.version, chain: this.chain, fault, steps, text: this.answered.text,
			split: this.oneOf('joined', 'whole', 'pieces', 'bytes'), padding: this.oneOf(0, 0, 1, 300),
			wire: this.oneOf('whole', 'records', 'bytes'), end: this.oneOf('notify', 'close', 'reset', 'alert', 'garbage'),
			breaks: this.breaks, limits: this.limits, said, meant: this.breaks.length > 0 ? null : said,
			stops: early && fault.how === 'stop',
		};

		// what the sender has not read by then, its kernel drops with the connection
		if (made.end === 'reset')
			this.limits.push('reset');
		return made;
	}
}

export function plan(seed, n) {
	return new Plan(seed, n).make();
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
	const { values } = parseArgs({ options: { seed: { type: 'string', default: '1' }, count: { type: 'string', default: '200' } } });

	for (let n = 1; n <= Number(values.count); n++) {
		const { version, fault, breaks, limits, said, meant, stops } = plan(Number(values.seed), n);

		console.log(JSON.stringify({ n, version, fault, breaks, limits, said, meant, stops }));
	}
}
