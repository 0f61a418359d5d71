#!/usr/bin/env node
/*-------------------------------------------------------------------------
 *
 * receiver.mjs
 *	  A merchant's server: takes webhooks, judges them, writes down what came.
 *
 * It is a process of its own with a real socket, so that what the tests see is
 * what was on the wire.  A request is written down BEFORE it is answered:
 * a client that sees the answer will find the record.  How it answers is told by the
 * path (behaviors.mjs), so one receiver can be good and bad at once.
 *
 *	  --port N             0: any that is free (default)
 *	  --host ADDRESS       default 127.0.0.1
 *	  --port-file FILE     gets the port once we listen, in one step
 *	  --record FILE        one JSON line a request is appended
 *	  --secret S           may be given more than once
 *	  --secret-file FILE   secrets, one a line; read again for each request, so it
 *	                       may be written later
 *	  --clock-offset N     seconds our clock is ahead of the machine's
 *	  --cert F --key F     speak HTTPS
 *	  --client-ca F        require a client certificate of this authority's
 *	  --tls-max V          no newer version of TLS than this one, such as TLSv1.1
 *	  --refuse-resumed 1   break off a handshake that would resume a session
 *
 * GET /requests returns all records as a JSON array.  SIGTERM ends it.
 *
 * A record:
 *	  arrival       when the request was complete, Unix milliseconds, a float
 *	  method, path
 *	  headers       { lower-case name: value }
 *	  raw_headers   [[name, value], ...] as received
 *	  body          as text
 *	  body_base64   as bytes
 *	  json          the body parsed, or null
 *	  connection    1, 2, ...: which TCP connection it came by; with HTTPS, each
 *	                is one handshake
 *	  peer          the address that it came from
 *	  client        the name in the client certificate that was shown, or null
 *	  resumed       whether that handshake resumed an older session
 *	  in_flight     requests being served at that moment, this one included
 *	  of_object     those of them that are about the same object and came to the
 *	                same host
 *	  valid, checks, age_seconds      of verify.mjs; only with a secret
 *
 * test/receivers/receiver.mjs
 *
 *-------------------------------------------------------------------------
 */
import { constants } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { behave, lookForFilesIn, objectId } from './behaviors.mjs';
import { verify } from './verify.mjs';

const { values: options } = parseArgs({
	options: {
		'port': { type: 'string', default: '0' },
		'host': { type: 'string', default: '127.0.0.1' },
		'port-file': { type: 'string' },
		'record': { type: 'string' },
		'secret': { type: 'string', multiple: true, default: [] },
		'secret-file': { type: 'string' },
		'clock-offset': { type: 'string', default: '0' },
		'cert': { type: 'string' },
		'key': { type: 'string' },
		'client-ca': { type: 'string' },
		'tls-max': { type: 'string' },
		'refuse-resumed': { type: 'string' },
	},
});

const judges = options.secret.length > 0 || options['secret-file'] !== undefined;
const records = [];
let connections = 0;
let inFlight = 0;

/* Requests being served, by host and object. */
const objects = new Map();

function secrets() {
	const file = options['secret-file'];

	if (file === undefined || !fs.existsSync(file))
		return options.secret;
	return options.secret.concat(
		fs.readFileSync(file, 'utf8').split('\n').filter((line) => line !== ''));
}

function now() {
	return Math.floor(Date.now() / 1000) + Number(options['clock-offset']);
}

function parsed(body) {
	try {
		return JSON.parse(body);
	} catch {
		return null;
	}
}

function pairs(flat) {
	return Array.from({ length: flat.length / 2 },
		(_, i) => [flat[2 * i], flat[2 * i + 1]]);
}

/* One more request, or one less, of this object; how many there are now. */
function countObject(key, by) {
	const n = (objects.get(key) ?? 0) + by;

	if (n > 0)
		objects.set(key, n);
	else
		objects.delete(key);
	return n;
}

function writeDown(request, response, raw) {
	const body = raw.toString('utf8');
	const record = {
		arrival: performance.timeOrigin + performance.now(),
		method: request.method,
		path: request.url,
		headers: request.headers,
		raw_headers: pairs(request.rawHeaders),
		body,
		body_base64: raw.toString('base64'),
		json: parsed(body),
		connection: request.socket.number,
		peer: request.socket.remoteAddress,
		client: request.socket.getPeerCertificate?.().subject?.CN ?? null,
		resumed: request.socket.isSessionReused?.() ?? false,
		in_flight: inFlight,
		...(judges ? verify(raw, request.headers, secrets(), now()) : {}),
	};

	const key = `${request.headers.host} ${objectId(record)}`;

	record.of_object = countObject(key, 1);
	response.on('close', () => countObject(key, -1));
	records.push(record);
	if (options.record)
		fs.appendFileSync(options.record, JSON.stringify(record) + '\n');
	return record;
}

function listRecords(response) {
	response.writeHead(200, { 'content-type': 'application/json' });
	response.end(JSON.stringify(records));
}

function serve(request, response) {
	const chunks = [];

	inFlight++;
	response.on('close', () => inFlight--);
	request.on('error', () => {});
	request.on('data', (chunk) => chunks.push(chunk));
	request.on('end', () => {
		if (request.method === 'GET' && request.url === '/requests')
			listRecords(response);
		else
			behave(writeDown(request, response, Buffer.concat(chunks)), response);
	});
}

function makeServer() {
	if (options.cert)
		return https.createServer({
			cert: fs.readFileSync(options.cert),
			key: fs.readFileSync(options.key),
			sessionTimeout: 86400,
			...(options['client-ca'] ? {
				ca: fs.readFileSync(options['client-ca']),
				requestCert: true,
			} : {}),
			...(options['tls-max'] ? {
				minVersion: 'TLSv1',
				maxVersion: options['tls-max'],
				ciphers: 'DEFAULT@SECLEVEL=0',
			} : {}),
			...(options['refuse-resumed'] ? {
				maxVersion: 'TLSv1.2',
				secureOptions: constants.SSL_OP_NO_TICKET,
			} : {}),
		}, serve);
	return http.createServer(serve);
}

/* Without tickets and TLS 1.3, a session is resumed by the number that we gave it. */
function refuseResumed(server) {
	const given = new Set();

	server.on('newSession', (id, _, done) => {
		given.add(id.toString('hex'));
		done();
	});
	server.on('resumeSession', (id, done) =>
		done(given.has(id.toString('hex')) ? new Error('resumed') : null, null));
}

const server = makeServer();

if (options['refuse-resumed'])
	refuseResumed(server);

/* Idle connections stay until the sender drops them, as with a real one. */
server.keepAliveTimeout = 0;
server.requestTimeout = 0;
server.on(options.cert ? 'secureConnection' : 'connection', (socket) => {
	socket.number = ++connections;
	socket.made = Date.now();
});
server.on('clientError', (_, socket) => socket.destroy());

if (options.record)
	lookForFilesIn(path.dirname(options.record));

/* A port that it had before may be some other program's for a moment, for a connection. */
let patience = 300;
server.on('error', (error) => {
	if (error.code !== 'EADDRINUSE' || patience-- === 0)
		throw error;
	setTimeout(() => server.listen(Number(options.port), options.host), 100);
});
server.on('listening', () => {
	const file = options['port-file'];

	if (file) {
		fs.writeFileSync(`${file}.new`, `${server.address().port}\n`);
		fs.renameSync(`${file}.new`, file);
	}
});
server.listen(Number(options.port), options.host);

process.on('SIGTERM', () => process.exit(0));
