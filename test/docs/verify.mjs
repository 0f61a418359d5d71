/*-------------------------------------------------------------------------
 *
 * verify.mjs PROGRAM HEADERS BODY NOW
 *	  Has one of the README's verifiers judge a request, with the clock at NOW
 *	  (Unix seconds), by the secret in WEBHOOK_SECRET.
 *
 * HEADERS is a file with a JSON object, BODY a file with the bytes.  Prints the
 * status of the event that was found valid, or "refused: " and why.
 *
 * test/docs/verify.mjs
 *
 *-------------------------------------------------------------------------
 */
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [program, headersFile, bodyFile, now] = process.argv.slice(2);
const { verify } = await import(pathToFileURL(path.resolve(program)));
const headers = JSON.parse(fs.readFileSync(headersFile, 'utf8'));
const body = fs.readFileSync(bodyFile);
const secret = process.env.WEBHOOK_SECRET;

/* What each of them asks for. */
const argumentsOf = {
	'verify-standard.mjs': () => [headers, body, secret],
	'verify-body.mjs': () => [body, secret],
	'verify-parsed.mjs': () => [JSON.parse(body.toString()), secret],
};

Date.now = () => Number(now) * 1000;
try {
	console.log(verify(...argumentsOf[path.basename(program)]()).status);
} catch (error) {
	console.log(`refused: ${error.message}`);
}
