/*-------------------------------------------------------------------------
 *
 * show-requests.mjs RECORD FIRST STATUS
 *	  Prints, for people, the requests a receiver wrote to the file RECORD from
 *	  the line FIRST (0, 1, ...) on, and what its verifiers say of each.
 *
 * Fails unless there are some, all of them valid and of that STATUS.
 *
 * demo/show-requests.mjs
 *
 *-------------------------------------------------------------------------
 */
import fs from 'node:fs';

const HEADERS = /^(content-type|user-agent|webhook-.*)$/;

const names = {
	standardwebhooks: "npm standardwebhooks, on the raw bytes",
	canonicalize: "npm canonicalize and HMAC, on the parsed body",
	tail: "HMAC of the body less its last 80 bytes",
	age: "timestamp no older than five minutes",
};

const [file, first, status] = process.argv.slice(2);
const records = fs.readFileSync(file, 'utf8').trimEnd().split('\n')
	.slice(Number(first)).map((line) => JSON.parse(line));

/* The body is one line; it is broken between its members, to be read. */
function broken(body) {
	let depth = 0;

	return body.replace(/"(\\.|[^"\\])*"|[{}[\],]/g, (token) => {
		if (token === '{' || token === '[')
			depth++;
		if (token === '}' || token === ']')
			depth--;
		return token === ',' && depth === 1 ? ',\n ' : token;
	});
}

function show(record) {
	console.log(`  ${record.method} ${record.path}`);
	for (const [name, value] of record.raw_headers)
		if (HEADERS.test(name.toLowerCase()))
			console.log(`  ${name}: ${value}`);
	console.log();
	console.log(broken(record.body).replace(/^/gm, '  '));
	console.log();
	for (const [verifier, check] of Object.entries(record.checks))
		console.log(`  ${names[verifier].padEnd(48)} ${check}`);
	console.log();
}

records.forEach(show);
process.exitCode = records.length > 0 && records.every(
	(record) => record.valid && record.json.status === status) ? 0 : 1;
