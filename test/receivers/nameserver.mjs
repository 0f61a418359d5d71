#!/usr/bin/env node
/*-------------------------------------------------------------------------
 *
 * nameserver.mjs
 *	  A name server (RFC 1035) by UDP and TCP, with answers that a test changes
 *	  as it goes.
 *
 *	  --port-file FILE     gets the port once we listen, in one step
 *	  --record FILE        one JSON line a question is appended: name, type ("A",
 *	                       "AAAA", or a number), transport
 *	  --zone FILE          the answers, as JSON; read again for each question
 *
 * The zone has names, in lower case, as members.  Each is an object of which all
 * may be left out:
 *	  A, AAAA     addresses; or an array of arrays: for the first question, the
 *	              second, ..., and the last one from then on
 *	  CNAME       another name, whose addresses are added
 *	  ttl         seconds; 0
 *	  silent      true: no answer ever
 *	  refuse      true: SERVFAIL
 *	  truncate    true: by UDP, only that the answer is too long for UDP
 * A name that isn't there doesn't exist (NXDOMAIN).
 *
 * test/receivers/nameserver.mjs
 *
 *-------------------------------------------------------------------------
 */
import dgram from 'node:dgram';
import fs from 'node:fs';
import net from 'node:net';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
	options: {
		'port-file': { type: 'string' },
		'record': { type: 'string' },
		'zone': { type: 'string' },
	},
});

const TYPES = { 1: 'A', 5: 'CNAME', 28: 'AAAA' };
const NOERROR = 0, SERVFAIL = 2, NXDOMAIN = 3;
const asked = new Map();

function readQuestion(message) {
	const labels = [];
	let at = 12;

	while (message[at] !== 0) {
		labels.push(message.toString('latin1', at + 1, at + 1 + message[at]));
		at += 1 + message[at];
	}
	const type = message.readUInt16BE(at + 1);

	return {
		name: labels.join('.').toLowerCase(),
		type: TYPES[type] ?? type,
		bytes: message.subarray(12, at + 5),
	};
}

function nameBytes(name) {
	const parts = name.split('.').map((label) =>
		Buffer.concat([Buffer.from([label.length]), Buffer.from(label, 'latin1')]));

	return Buffer.concat([...parts, Buffer.from([0])]);
}

function addressBytes(address, type) {
	if (type === 'A')
		return Buffer.from(address.split('.').map(Number));
	const groups = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
	const [head, tail] = groups.map((part) => part === '' ? [] : part.split(':'));
	const zeros = tail ? new Array(8 - head.length - tail.length).fill('0') : [];

	return Buffer.from([...head, ...zeros, ...(tail ?? [])]
		.flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 255]));
}

function record(name, type, ttl, data) {
	const fixed = Buffer.alloc(10);

	fixed.writeUInt16BE({ A: 1, CNAME: 5, AAAA: 28 }[type], 0);
	fixed.writeUInt16BE(1, 2);
	fixed.writeUInt32BE(ttl, 4);
	fixed.writeUInt16BE(data.length, 8);
	return Buffer.concat([nameBytes(name), fixed, data]);
}

/* The addresses for this question, which may not be those of the last. */
function turn(entry, name, type) {
	const list = entry[type] ?? [];
	const times = asked.get(`${name} ${type}`) ?? 0;

	asked.set(`${name} ${type}`, times + 1);
	return Array.isArray(list[0]) ? list[Math.min(times, list.length - 1)] : list;
}

function recordsFor(zone, name, type) {
	const entry = zone[name];

	if (!entry)
		return [];
	const ttl = entry.ttl ?? 0;

	if (entry.CNAME)
		return [record(name, 'CNAME', ttl, nameBytes(entry.CNAME)),
			...recordsFor(zone, entry.CNAME, type)];
	return turn(entry, name, type).map((address) =>
		record(name, type, ttl, addressBytes(address, type)));
}

function reply(message, question, code, records, truncated) {
	const header = Buffer.alloc(12);

	message.copy(header, 0, 0, 2);
	header.writeUInt16BE(0x8580 | (truncated ? 0x0200 : 0) | code, 2);
	header.writeUInt16BE(1, 4);
	header.writeUInt16BE(records.length, 6);
	return Buffer.concat([header, question.bytes, ...records]);
}

/* The answer to a message, or undefined. */
function answer(message, transport) {
	const question = readQuestion(message);
	const zone = JSON.parse(fs.readFileSync(options.zone, 'utf8'));
	const entry = zone[question.name];

	fs.appendFileSync(options.record, JSON.stringify(
		{ name: question.name, type: question.type, transport }) + '\n');
	if (entry?.silent)
		return undefined;
	if (!entry || entry.refuse)
		return reply(message, question, entry ? SERVFAIL : NXDOMAIN, [], false);
	if (entry.truncate && transport === 'udp')
		return reply(message, question, NOERROR, [], true);
	return reply(message, question, NOERROR,
		recordsFor(zone, question.name, question.type), false);
}

/* By TCP, each message follows its length. */
function serveStream(socket) {
	let got = Buffer.alloc(0);

	socket.on('error', () => {});
	socket.on('data', (data) => {
		got = Buffer.concat([got, data]);
		while (got.length >= 2 && got.length >= 2 + got.readUInt16BE(0)) {
			const end = 2 + got.readUInt16BE(0);
			const out = answer(got.subarray(2, end), 'tcp');

			got = got.subarray(end);
			if (!out)
				continue;
			const length = Buffer.alloc(2);

			length.writeUInt16BE(out.length);
			socket.write(Buffer.concat([length, out]));
		}
	});
}

const streams = net.createServer(serveStream);
const packets = dgram.createSocket('udp4');

packets.on('message', (message, from) => {
	const out = answer(message, 'udp');

	if (out)
		packets.send(out, from.port, from.address);
});

/* One port for both; one that is taken by someone's UDP is left for another. */
function listen() {
	streams.listen(0, '127.0.0.1', () => {
		const { port } = streams.address();

		packets.bind(port, '127.0.0.1', () => {
			fs.writeFileSync(`${options['port-file']}.new`, `${port}\n`);
			fs.renameSync(`${options['port-file']}.new`, options['port-file']);
		});
	});
}

packets.on('error', () => streams.close(listen));
listen();

process.on('SIGTERM', () => process.exit(0));
