#!/usr/bin/env node
/*-------------------------------------------------------------------------
 *
 * proxy.mjs
 *	  An operator's CONNECT proxy: looks names up itself, and carries bytes.
 *
 * Names are those that --hosts has, for nobody else must need to know them.  Options
 * are otherwise like receiver.mjs's:
 *
 *	  --hosts A=B,...      names, and the addresses that they have
 *	  --user U:P           refuse everyone who does not say so (407)
 *	  --cert F --key F     TLS on the way to the proxy itself
 *
 * How a tunnel is answered may be told by its name: "refused.*" gets a 403,
 * "silent.*" nothing, "closed.*" the end of the connection.  A host that nobody
 * listens at gets a 502.
 *
 * A record: target, headers, peer (the address that asked) and status.  It is written
 * before the answer.
 *
 * test/receivers/proxy.mjs
 *
 *-------------------------------------------------------------------------
 */
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
	options: {
		'port': { type: 'string', default: '0' },
		'host': { type: 'string', default: '127.0.0.1' },
		'port-file': { type: 'string' },
		'record': { type: 'string' },
		'secret-file': { type: 'string' },
		'hosts': { type: 'string', default: '' },
		'user': { type: 'string' },
		'cert': { type: 'string' },
		'key': { type: 'string' },
	},
});

const hosts = new Map(options.hosts.split(',').filter((pair) => pair !== '')
	.map((pair) => pair.split('=')));

function writeDown(request, status) {
	fs.appendFileSync(options.record, JSON.stringify({
		target: request.url,
		headers: request.headers,
		peer: request.socket.remoteAddress,
		status,
	}) + '\n');
}

function refuse(request, socket, status) {
	writeDown(request, status);
	socket.end(`HTTP/1.1 ${status} No\r\ncontent-length: 3\r\nretry-after: 9999\r\n\r\nno\n`);
}

function allowed(request) {
	return options.user === undefined || request.headers['proxy-authorization'] ===
		`Basic ${Buffer.from(options.user).toString('base64')}`;
}

function carry(request, socket, head) {
	const [, name, port] = request.url.match(/^\[?(.*?)\]?:(\d+)$/);
	const there = net.connect(Number(port), hosts.get(name) ?? name);
	let connected = false;

	there.on('connect', () => {
		connected = true;
		writeDown(request, 200);
		socket.write('HTTP/1.1 200 Connection established\r\nretry-after: 9999\r\n\r\n');
		there.write(head);
		socket.pipe(there).pipe(socket);
	});
	there.on('error', () => connected ? socket.destroy() : refuse(request, socket, 502));
	there.on('close', () => connected && socket.destroy());
	socket.on('close', () => there.destroy());
}

function onConnect(request, socket, head) {
	socket.on('error', () => socket.destroy());
	if (!allowed(request))
		refuse(request, socket, 407);
	else if (request.url.startsWith('refused.'))
		refuse(request, socket, 403);
	else if (request.url.startsWith('silent.'))
		writeDown(request, 0);
	else if (request.url.startsWith('closed.')) {
		writeDown(request, 0);
		socket.destroy();
	} else
		carry(request, socket, head);
}

const server = options.cert ?
	https.createServer({ cert: fs.readFileSync(options.cert), key: fs.readFileSync(options.key) }) :
	http.createServer();

server.on('connect', onConnect);
server.on('request', (request, response) => {
	writeDown(request, 405);
	response.writeHead(405).end();
});
server.listen(Number(options.port), options.host, () => {
	fs.writeFileSync(`${options['port-file']}.new`, `${server.address().port}\n`);
	fs.renameSync(`${options['port-file']}.new`, options['port-file']);
});

process.on('SIGTERM', () => process.exit(0));
