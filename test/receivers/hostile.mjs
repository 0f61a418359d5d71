#!/usr/bin/env node
/*-------------------------------------------------------------------------
 *
 * hostile.mjs
 *	  A receiver that breaks every rule of HTTP, told by the path of the URL.
 *
 * It speaks TCP, not HTTP, so that it can say anything.  It listens on one port
 * of 127.0.0.1 and of as many addresses from 127.0.1.1 on as --addresses says:
 * each is a destination of its own, so that one that fails is not held against
 * the others.  Options and record are otherwise like receiver.mjs's.
 *
 *	  /raw/END/BASE64URL    those bytes; then END: close, reset, open (nothing)
 *	  /made/SEED/N          an answer from the grammar of answers.mjs, and the end
 *	  /endless/WHAT         more and more of: status, line, headers, continue,
 *	                        hints, body, chunks, extension, trailers
 *	  /slow/WHAT            the same, a few bytes each tenth of a second; what is
 *	                        about the body has its headers at once
 *	  /gzip/HEADER          200 and a gzip bomb, named by that header
 *	  /late/BASE64URL       200; and those bytes later, once it is idle
 *	  /many/N               200, so many times at once
 *	  /early                413 as soon as the headers are there, and a reset
 *	  /hang                 nothing
 *	  anything else         200
 *
 *	A question mark before any of this makes it a query, of the path /.
 *
 * A record has path, headers, json and connection as receiver.mjs's, written
 * before the answer.  When a connection has ended or unasked bytes were sent,
 * {"event": "closed" or "unasked", path, connection, written} is recorded too.
 *
 * test/receivers/hostile.mjs
 *
 *-------------------------------------------------------------------------
 */
import fs from 'node:fs';
import net from 'node:net';
import zlib from 'node:zlib';
import { parseArgs } from 'node:util';
import { answer as madeAnswer } from './answers.mjs';

const { values: options } = parseArgs({
	options: {
		'port': { type: 'string', default: '0' },
		'host': { type: 'string', default: '127.0.0.1' },
		'addresses': { type: 'string', default: '0' },
		'port-file': { type: 'string' },
		'record': { type: 'string' },
		'secret-file': { type: 'string' },
	},
});

const ok = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
const chunked = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n';
const block = 'x'.repeat(4096);

/* How each kind begins, and what it goes on with. */
const kinds = {
	status: ['HTTP/1.1 200 ', block],
	line: ['HTTP/1.1 200 OK\r\nx: ', block],
	headers: ['HTTP/1.1 200 OK\r\n', 'a:b\r\n'.repeat(800)],
	continue: ['', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(160)],
	hints: ['', 'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n'.repeat(100)],
	body: ['HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n', block],
	chunks: [chunked, `1000\r\n${block}\r\n`],
	extension: [`${chunked}1;x=`, block],
	trailers: [`${chunked}0\r\n`, 'a: b\r\n'.repeat(680)],
};

const bomb = zlib.gzipSync(Buffer.alloc(64 * 1024 * 1024));

/* How many bytes a slow one says at a time. */
const SLOW_BYTES = 3;

let connections = 0;

function writeDown(record) {
	if (options.record)
		fs.appendFileSync(options.record, JSON.stringify(record) + '\n');
}

function end(socket, how) {
	if (how === 'close')
		socket.end();
	else if (how === 'reset')
		setImmediate(() => socket.resetAndDestroy());
}

function endless(socket, [first, more]) {
	const go = () => {
		while (!socket.destroyed && socket.write(more))
			;
	};

	socket.write(first);
	socket.on('drain', go);
	go();
}

function slow(socket, [first, more]) {
	const text = first + more;
	let at = first.includes('\r\n\r\n') ? first.length : 0;

	socket.write(text.slice(0, at));
	const timer = setInterval(() => {
		socket.write(text.slice(at, at + SLOW_BYTES));
		at = at + SLOW_BYTES < text.length ? at + SLOW_BYTES : first.length;
	}, 100);

	socket.on('close', () => clearInterval(timer));
}

function gzipBomb(socket, header) {
	if (header === 'transfer-encoding') {
		socket.write(`HTTP/1.1 200 OK\r\n${header}: gzip, chunked\r\n\r\n`);
		socket.write(`${bomb.length.toString(16)}\r\n`);
		socket.write(bomb);
		socket.write('\r\n0\r\n\r\n');
		return;
	}
	socket.write(`HTTP/1.1 200 OK\r\n${header}: gzip\r\ncontent-length: ${bomb.length}\r\n\r\n`);
	socket.write(bomb);
}

function late(socket, record, bytes) {
	socket.write(ok);
	setTimeout(() => socket.write(bytes, () =>
		writeDown({ event: 'unasked', path: record.path, connection: record.connection })), 200);
}

const behaviors = {
	raw: (socket, record, how, text) => {
		socket.write(Buffer.from(text, 'base64url'));
		end(socket, how);
	},
	made: (socket, record, seed, n) => {
		socket.write(madeAnswer(Number(seed), Number(n)).bytes);
		end(socket, 'close');
	},
	endless: (socket, record, what) => endless(socket, kinds[what]),
	slow: (socket, record, what) => slow(socket, kinds[what]),
	gzip: (socket, record, header) => gzipBomb(socket, header),
	late: (socket, record, text) => late(socket, record, Buffer.from(text, 'base64url')),
	many: (socket, record, n) => socket.write(ok.repeat(Number(n))),
	hang: () => {},
};

function answer(socket, record) {
	const [name, ...rest] = record.path.replace('?', '').split('/').slice(1);

	if (Object.hasOwn(behaviors, name))
		behaviors[name](socket, record, ...rest);
	else
		socket.write(ok);
}

/* The head of a request: null until it is there. */
function parseHead(raw) {
	const at = raw.indexOf('\r\n\r\n');

	if (at < 0)
		return null;
	const [line, ...lines] = raw.subarray(0, at).toString('latin1').split('\r\n');

	return {
		path: line.split(' ')[1],
		headers: Object.fromEntries(lines.map((text) =>
			[text.slice(0, text.indexOf(':')).toLowerCase(),
				text.slice(text.indexOf(':') + 1).trim()])),
		length: at + 4,
	};
}

function takeEarly(socket, head) {
	if (head.path !== '/early' || socket.tooEarly)
		return;
	socket.tooEarly = true;
	socket.write('HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n');
	socket.pause();
	socket.end();
}

/* Takes the requests that are whole from what has come. */
function takeRequests(socket, raw) {
	for (;;) {
		const head = parseHead(raw);

		if (head === null)
			return raw;
		takeEarly(socket, head);
		const whole = head.length + Number(head.headers['content-length'] ?? 0);

		if (raw.length < whole)
			return raw;
		const body = raw.subarray(head.length, whole).toString();
		const record = { path: head.path, headers: head.headers,
			json: JSON.parse(body), connection: socket.number };

		socket.path = head.path;
		writeDown(record);
		answer(socket, record);
		raw = raw.subarray(whole);
	}
}

function serve(socket) {
	let raw = Buffer.alloc(0);

	socket.number = ++connections;
	socket.setNoDelay(true);
	socket.on('data', (data) => {
		raw = takeRequests(socket, Buffer.concat([raw, data]));
	});
	socket.on('error', () => {});
	socket.on('close', () => writeDown({ event: 'closed', path: socket.path ?? null,
		connection: socket.number, written: socket.bytesWritten }));
}

function listen(port, host, then) {
	const server = net.createServer({ allowHalfOpen: true }, serve);

	server.listen(port, host, () => then(server.address().port));
}

listen(Number(options.port), options.host, (port) => {
	let missing = Number(options.addresses);
	const announce = () => {
		fs.writeFileSync(`${options['port-file']}.new`, `${port}\n`);
		fs.renameSync(`${options['port-file']}.new`, options['port-file']);
	};

	if (missing === 0)
		announce();
	for (let i = 1; i <= Number(options.addresses); i++)
		listen(port, `127.0.1.${i}`, () => --missing === 0 && announce());
});

process.on('SIGTERM', () => process.exit(0));
