#!/usr/bin/env node
/*-------------------------------------------------------------------------
 *
 * receiver.mjs --record FILE --secret ORG=S... [--port N]
 *	  The checker's merchant: writes every request down before it answers.
 *
 * It does little for a request, because an hour of them comes, and remembers
 * none: the record is the file, one JSON line a request, appended.  How it
 * answers is told by lines on its standard input:
 *
 *	  ok		as the endpoint does
 *	  fail		500
 *	  hang		never an answer
 *	  reset		the connection is reset, after the request was read
 *	  well		200, at every endpoint
 *	  secret ORG=S	(what ORG signs with from now on, besides; or the endpoint
 *			of that path, if it has secrets of its own)
 *	  consent PATH	(the endpoint answers challenges from now on)
 *	  doubt PATH	(or no longer: it sends back what it gets)
 *
 * The first part of the path says how the endpoint answers:
 *
 *	  own, sub	200 after a few milliseconds; 500 to two of a hundred attempts
 *	  hang, reset	as above
 *	  limit-WHEN	429 or 503 with a Retry-After: 0, past, 1, or a date in two seconds
 *	  404 and so on	that
 *
 * Its first line of output is the port.  SIGTERM and SIGKILL end it alike.
 *
 * A record: t (Unix milliseconds), event, org, object, status, path, webhook_id,
 * attempt, signer, secret (the number of the signer's that signed it, or -1), stamp
 * (the body's own second), answer (a status, or 0 for none),
 * and of a challenge consents (whether it was answered).
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
		secret: { type: 'string', multiple: true },
		consent: { type: 'string', multiple: true, default: [] },
		port: { type: 'string', default: '0' },
	},
});
const record = fs.openSync(options.record, 'a');
const secrets = new Map();
const consenting = new Set(options.consent);
let mode = 'ok';

/* "org=secret"; an organization that rotates has several. */
function learn(text) {
	const at = text.indexOf('=');
	const org = text.slice(0, at);

	secrets.set(org, [...(secrets.get(org) ?? []), text.slice(at + 1)]);
}

options.secret.forEach(learn);

/*
 * Which of the signer's secrets, in the order in which they were told, signed it; -1: none.
 * What is signed is the body without its last member: see the README.
 */
function secretOf(body, signer) {
	const signed = Buffer.concat([body.subarray(0, -80), Buffer.from('}')]);
	const end = body.subarray(-80).toString();

	return (secrets.get(signer) ?? []).findIndex((secret) => end ===
		`,"signature":"${createHmac('sha256', secret).update(signed).digest('hex')}"}`);
}

function parsed(body) {
	try {
		return JSON.parse(body);
	} catch {
		return {};
	}
}

/* What Retry-After says at an endpoint "limit-WHEN". */
function retryAfter(when) {
	const dates = { past: -60000, date: 2000 };

	return when in dates ? new Date(Date.now() + dates[when]).toUTCString() : when;
}

function plannedAnswer(manner) {
	const limited = manner.startsWith('limit-');

	if (mode === 'well')
		return 200;
	if (mode === 'fail')
		return 500;
	if (mode !== 'ok' || manner === 'hang' || manner === 'reset')
		return 0;
	if (limited)
		return Math.random() < 0.5 ? 429 : 503;
	return Number(manner) || (Math.random() < 0.02 ? 500 : 200);
}

/* What a challenge is answered with; anything else needs no body. */
function bodyOf(challenge, consents, body) {
	if (challenge === undefined)
		return '';
	return consents ? challenge : body;
}

function take(request, response, body) {
	const json = parsed(body);
	const path = request.url.split('?')[0];
	const name = path.slice(1);
	const manner = path.split('/')[1];
	const signer = secrets.has(name) ? name : json.org ?? json.org_id;
	const answer = plannedAnswer(manner);
	const consents = answer === 200 && (mode === 'well' || consenting.has(name));
	const headers = answer === 429 || answer === 503 ?
		{ 'Retry-After': retryAfter(manner.slice(6)) } : {};

	fs.writeSync(record, JSON.stringify({
		t: Date.now(),
		event: request.headers['webhook-event'] ?? '',
		org: json.org ?? null,
		object: json.object ?? null,
		status: json.status ?? null,
		path,
		webhook_id: request.headers['webhook-id'] ?? null,
		attempt: Number(request.headers['webhook-attempt']),
		signer,
		secret: secretOf(body, signer),
		stamp: json.timestamp,
		answer,
		consents: json.challenge === undefined ? undefined : consents,
	}) + '\n');
	if (answer !== 0)
		setTimeout(() => response.writeHead(answer, headers)
			.end(bodyOf(json.challenge, consents, body)), Math.random() * 20);
	else if (mode === 'reset' || (mode === 'ok' && manner === 'reset'))
		request.socket.resetAndDestroy();
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
	.on('line', (line) => {
		if (line.startsWith('secret '))
			learn(line.slice(7));
		else if (line.startsWith('consent '))
			consenting.add(line.slice(8));
		else if (line.startsWith('doubt '))
			consenting.delete(line.slice(6));
		else
			mode = line;
	})
	.on('close', () => process.exit(0));
