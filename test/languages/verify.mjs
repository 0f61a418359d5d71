/*-------------------------------------------------------------------------
 *
 * verify.mjs PROGRAM CASE...
 *	  Has one of the guide's verifiers judge requests (test/perl/Judge.pm says
 *	  what a case is, and what is printed).
 *
 * test/languages/verify.mjs
 *
 *-------------------------------------------------------------------------
 */
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [program, ...cases] = process.argv.slice(2);
const { verify } = await import(pathToFileURL(path.resolve(program)));

/* What each of them asks for. */
const ask = {
	'verify-header.mjs': (request) => {
		/* The library takes no other clock than this. */
		Date.now = () => request.now * 1000;
		return verify(request.headers, request.body, request.secrets);
	},
	'verify-body.mjs': ({ body, secrets, now }) => verify(body, secrets, now),
	'verify-parsed.mjs': ({ body, secrets, now }) =>
		verify(JSON.parse(body.toString()), secrets, now),
}[path.basename(program)];

for (const dir of cases) {
	const read = (name) => fs.readFileSync(`${dir}/${name}`);
	const text = (name) => read(name).toString();
	const request = {
		headers: {
			'webhook-id': text('id'),
			'webhook-timestamp': text('timestamp'),
			'webhook-signature': text('signature'),
		},
		body: read('body'),
		secrets: text('secrets').split(' '),
		now: Number(text('now')),
	};

	try {
		ask(request);
		console.log('valid');
	} catch (error) {
		console.log(`refused: ${error.message}`);
	}
}
