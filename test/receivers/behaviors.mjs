/*-------------------------------------------------------------------------
 *
 * behaviors.mjs
 *	  How a receiver answers, told by the path of the URL.
 *
 *	  /ok                          200
 *	  /status/CODE                 that status
 *	  /fail/N/REST                 the first N requests of an object get 500,
 *	                               the others what /REST says
 *	  /fail-each/N/REST            the same, counted for each webhook-id
 *	  /refuse/STATUS/REST          500 for a payload of that status, the others
 *	                               get what /REST says
 *	  /judge/REST                  401 for a request that the receiver's verifiers do
 *	                               not find valid, the others get what /REST says
 *	  /random/SEED/PERCENT         so many of a hundred requests get 500, or a
 *	                               reset, or no answer; the others 200.  The same
 *	                               seed does the same to the same attempts
 *	  /while/FILE/REST             no answer while the file exists in the
 *	                               directory of the record, then what /REST says
 *	  /faulty/FILE/WAY/then/REST   what /WAY says while the file exists in the
 *	                               directory of the record, then what /REST says
 *	  /slow/MS                     200 after so many milliseconds
 *	  /hang                        never an answer
 *	  /stall                       200 and its headers, then nothing more
 *	  /redirect[/CODE]             302, or CODE, to /ok
 *	  /retry-after/SECONDS[/CODE]  429, or CODE, with Retry-After, at the first
 *	                               request of a webhook-id; then 200
 *	  /retry-after-date/SECONDS    the same, with an HTTP date
 *	  /gone                        410
 *	  /close                       the connection is reset, without an answer
 *	  /big/BYTES                   200 with so long a body
 *	  /binary                      200 with a body that is not text
 *	  /once                        200, and says that it closes the connection
 *	  /first-only/REST             what /REST says to the first request of a
 *	                               connection; any other is reset
 *	  /forget/FILE/REST            no answer by a connection that was made before
 *	                               the file, in the directory of the record; by
 *	                               another what /REST says
 *	  /keepalive-close             200, then the connection is dropped
 *	                               although its answer promised keep-alive
 *
 *	  /challenge/FORM/REST         returns what a challenge asks for in that form:
 *	                               text, string, json, spaced; or does it wrongly:
 *	                               mirror, member, header, another, before, after-MS,
 *	                               or with a status of its own; what is no challenge
 *	                               gets what /REST says
 *
 * A query string may follow, to tell URLs apart; it changes nothing.
 *
 * test/receivers/behaviors.mjs
 *
 *-------------------------------------------------------------------------
 */

import fs from 'node:fs';
import path from 'node:path';

/* Where /while looks for its files. */
let directory = '.';

export function lookForFilesIn(where) {
	directory = where;
}

/* How often count() was asked for a key. */
const counted = new Map();

function count(...key) {
	const text = JSON.stringify(key);
	const n = (counted.get(text) ?? 0) + 1;

	counted.set(text, n);
	return n;
}

export function objectId(record) {
	return record.json?.payment_intent_id ?? record.json?.transfer_id ??
		record.json?.id ?? webhookId(record);
}

function webhookId(record) {
	return record.headers['webhook-id'] ?? null;
}

function answer(response, status, body = `status ${status}\n`, headers = {}) {
	response.writeHead(status, { 'content-type': 'text/plain', ...headers });
	response.end(body);
}

/* Fails the first `times` requests of one id, then does as `rest` says. */
function failFirst(id, record, response, times, rest) {
	if (count(record.path, id) <= Number(times))
		answer(response, 500);
	else
		byPath(rest, record, response);
}

function retryAfter(value, record, response, code) {
	if (count(record.path, webhookId(record)) === 1)
		answer(response, Number(code ?? 429), undefined, { 'retry-after': value });
	else
		answer(response, 200);
}

/* FNV-1a, with an avalanche: a number below 2^32 for a text. */
function hash(text) {
	let h = 0x811c9dc5;

	for (const c of text)
		h = Math.imul(h ^ c.codePointAt(0), 0x01000193);
	h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
	h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
	return (h ^ (h >>> 16)) >>> 0;
}

/* What fails is told by the object, its status and the attempt, not by time. */
function atRandom(record, response, seed, percent) {
	const n = hash([seed, record.headers.host.split(':')[0], objectId(record),
		record.json?.status, record.headers['webhook-attempt']].join());
	const ways = [['status', '500'], ['close'], ['hang']];

	if (n % 100 < Number(percent))
		byPath(ways[Math.floor(n / 100) % ways.length], record, response);
	else
		answer(response, 200);
}

function waitWhile(file, record, response, rest) {
	if (fs.existsSync(file))
		setTimeout(waitWhile, 20, file, record, response, rest);
	else
		byPath(rest, record, response);
}

function faultyWhile(file, record, response, way) {
	const then = way.indexOf('then');

	byPath(fs.existsSync(file) ? way.slice(0, then) : way.slice(then + 1), record, response);
}

/* Sockets that have brought a request already. */
const used = new WeakSet();

function firstOnly(record, response, rest) {
	const { socket } = response;

	if (used.has(socket)) {
		socket.resetAndDestroy();
	} else {
		used.add(socket);
		byPath(rest, record, response);
	}
}

function forget(file, record, response, rest) {
	const { mtimeMs } = fs.statSync(path.join(directory, path.basename(file)), { throwIfNoEntry: false }) ??
		{ mtimeMs: 0 };

	if (response.socket.made >= mtimeMs)
		byPath(rest, record, response);
}

/* The last challenge that came by a path, for who returns that of the request before. */
const challenged = new Map();

const forms = {
	'text': (c) => c,
	'string': (c) => JSON.stringify(c),
	'json': (c) => JSON.stringify({ challenge: c }),
	'spaced': (c) => `\r\n{\t"challenge" : "${c}" }\n`,
	'mirror': (c, record) => record.body,
	'member': (c) => JSON.stringify({ data: { challenge: c } }),
	'another': () => '0'.repeat(64),
	'shorter': (c) => c.slice(1),
	'twice': (c) => c + c,
	'long': (c) => c + ' '.repeat(100000),
};

function challenge(record, response, form, ...rest) {
	const asked = record.json?.challenge;
	const before = challenged.get(record.path) ?? 'none';

	if (record.json?.type !== 'endpoint.challenge')
		return byPath(rest.length > 0 ? rest : ['ok'], record, response);
	challenged.set(record.path, asked);
	if (Object.hasOwn(forms, form))
		answer(response, 200, forms[form](asked, record));
	else if (form === 'before')
		answer(response, 200, before);
	else if (form === 'header')
		answer(response, 200, '', { challenge: asked });
	else if (form.startsWith('after-'))
		setTimeout(() => answer(response, 200, asked), Number(form.slice(6)));
	else
		answer(response, Number(form), asked, { location: '/challenge/text' });
	return undefined;
}

const behaviors = {
	'ok': (record, response) => answer(response, 200),
	'status': (record, response, code) => answer(response, Number(code)),
	'fail': (record, response, times, ...rest) =>
		failFirst(objectId(record), record, response, times, rest),
	'fail-each': (record, response, times, ...rest) =>
		failFirst(webhookId(record), record, response, times, rest),
	'refuse': (record, response, status, ...rest) =>
		byPath(record.json?.status === status ? ['status', '500'] : rest, record, response),
	'judge': (record, response, ...rest) =>
		byPath(record.valid ? rest : ['status', '401'], record, response),
	'random': atRandom,
	'while': (record, response, file, ...rest) =>
		waitWhile(path.join(directory, path.basename(file)), record, response, rest),
	'faulty': (record, response, file, ...way) =>
		faultyWhile(path.join(directory, path.basename(file)), record, response, way),
	'slow': (record, response, ms) =>
		setTimeout(() => answer(response, 200), Number(ms)),
	'hang': () => {},
	'stall': (record, response) => {
		response.writeHead(200, { 'content-length': '100' });
		response.write('the beginning');
	},
	'redirect': (record, response, code = '302') =>
		answer(response, Number(code), undefined, { location: '/ok' }),
	'retry-after': (record, response, seconds, code) =>
		retryAfter(seconds, record, response, code),
	'retry-after-date': (record, response, seconds) =>
		retryAfter(new Date(Date.now() + Number(seconds) * 1000).toUTCString(),
			record, response),
	'gone': (record, response) => answer(response, 410),
	'close': (record, response) => response.socket.resetAndDestroy(),
	'big': (record, response, bytes) =>
		answer(response, 200, 'x'.repeat(Number(bytes))),
	'binary': (record, response) =>
		answer(response, 200, Buffer.from([0x62, 0x00, 0xff, 0xfe, 0xc3, 0x28, 0x65])),
	'challenge': challenge,
	'once': (record, response) =>
		answer(response, 200, undefined, { connection: 'close' }),
	'first-only': (record, response, ...rest) => firstOnly(record, response, rest),
	'forget': (record, response, file, ...rest) => forget(file, record, response, rest),
	'keepalive-close': (record, response) => {
		/* by the time it is finished the response has no socket any more */
		const { socket } = response;

		response.on('finish', () => socket.destroySoon());
		answer(response, 200, undefined, { connection: 'keep-alive' });
	},
};

function byPath([name, ...rest], record, response) {
	const behavior = Object.hasOwn(behaviors, name) ? behaviors[name] : null;

	if (behavior)
		behavior(record, response, ...rest);
	else
		answer(response, 404);
}

/* Answers a request that was written down. */
export function behave(record, response) {
	const [way] = record.path.split('?');

	byPath(way.split('/').slice(1), record, response);
}
