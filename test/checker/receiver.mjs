#!/usr/bin/env node
/*-------------------------------------------------------------------------
 *
 * receiver.mjs --record FILE --secret S [--port N]
 *	  The checker's merchant: writes every request down before it answers.
 *
 * It does little for a request, because an hour of them comes, and remembers
 * none: the record is the file, one JSON line a request, appended.  How it
 * answers is told by lines on its standard input:
 *
 *	  ok		200 after a few milliseconds; 500 to two of a hundred attempts
 *	  fail		500
 *	  hang		never an answer
 *	  reset		the connection is reset, after the request was read
 *
 * Its first line of output is the port.  SIGTERM and SIGKILL end it alike.
 *
 * A record: t (Unix milliseconds), object, status, webhook_id, attempt, genuine
 * (the signature is right), answer (200, 500, or 0 for none).
 *
 * test/checker/receiver.mjs
 *
 *-------------------------------------------------------------------------
 */
import { createHmac } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
	options: {
		record: { type: 'string' },
		secret: { type: 'string' },
		port: { type: 'string', default: '0' },
	},
});
const record = fs.openSync(options.record, 'a');
let mode = 'ok';

/* What is signed is the body without its last member: see the README. */
function isGenuine(body) {
	const signed = Buffer.concat([body.subarray(0, -80), Buffer.from('}')]);
	const signature = createHmac('sha256', options.secret).update(signed).digest('hex');

	return body.subarray(-80).toString() === `,"signature":"${signature}"}`;
}

function parsed(body) {
	try {
		return JSON.parse(body);
	} catch {
		return {};
	}
}

function plannedAnswer() {
	if (mode === 'ok')
		return Math.random() < 0.02 ? 500 : 200;
	return mode === 'fail' ? 500 : 0;
}

function take(request, response, body) {
	const json = parsed(body);
	const answer = plannedAnswer();

	fs.writeSync(record, JSON.stringify({
		t: Date.now(),
		object: json.object ?? null,
		status: json.status ?? null,
		webhook_id: request.headers['webhook-id'] ?? null,
		attempt: Number(request.headers['webhook-attempt']),
		genuine: isGenuine(body),
		answer,
	}) + '\n');
	if (mode === 'reset')
		request.socket.resetAndDestroy();
	else if (answer !== 0)
		setTimeout(() => response.writeHead(answer).end(), Math.random() * 20);
}

const server = http.createServer((request, response) => {
	const chunks = [];

	request.on('error', () => {});
	request.on('data', (chunk) => chunks.push(chunk));
	request.on('end', () => take(request, response, Buffer.concat(chunks)));
});

server.keepAliveTimeout = 0;
server.on('clientError', (_, socket) => socket.destroy());
server.listen(Number(options.port), '127.0.0.1', () =>
	console.log(server.address().port));
createInterface({ input: process.stdin })
	.on('line', (line) => { mode = line; })
	.on('close', () => process.exit(0));
