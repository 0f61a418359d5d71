/*-------------------------------------------------------------------------
 *
 * outbox.mjs
 *	  What a good engineer would write instead of using kgwebhook: a relay that
 *	  sends the messages of an outbox table as signed webhooks.
 *
 * It does well what is known to matter: it leases many messages with one
 * statement (FOR UPDATE SKIP LOCKED), keeps a fixed number of requests in
 * flight over connections that stay open, refills as each is answered, leases
 * ahead so as never to run dry, and finishes in bulk, the log and the delete in
 * one durable statement.  It wakes by NOTIFY.  It leaves out all that kgwebhook does
 * besides: order, fairness between destinations, breakers, the address guard.
 *
 *	  IN_FLIGHT   requests at once (50: where it is fastest)
 *	  BATCH       messages leased or finished by one statement (500)
 *
 * The database is found by libpq's variables.  SIGTERM ends it.
 *
 * bench/node-outbox/outbox.mjs
 *
 *-------------------------------------------------------------------------
 */
import { createHmac } from 'node:crypto';
import pg from 'pg';
import { Pool } from 'undici';

const IN_FLIGHT = Number(process.env.IN_FLIGHT ?? 50);
const BATCH = Number(process.env.BATCH ?? 500);
const FLUSH_MS = 20;
const POLL_MS = 1000;
const TIMEOUT_MS = 15000;

const SECRET = Buffer.from('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'base64');

const LEASE = {
	name: 'lease',
	text: `
		UPDATE outbox.message m
		   SET attempts = m.attempts + 1, available_at = now() + interval '1 minute'
		  FROM (SELECT id FROM outbox.message
		         WHERE available_at <= now()
		         ORDER BY available_at, id
		         LIMIT $1
		           FOR UPDATE SKIP LOCKED) AS due
		 WHERE m.id = due.id
		RETURNING m.id, m.url, m.body, m.attempts`,
};

const FINISH = {
	name: 'finish',
	text: `
		WITH result AS (
		    SELECT * FROM unnest($1::bigint[], $2::int[], $3::text[], $4::real[])
		        AS r (id, status, error, duration_ms)),
		sent AS (
		    DELETE FROM outbox.message m USING result r
		     WHERE m.id = r.id AND r.status BETWEEN 200 AND 299
		    RETURNING m.id, m.attempts, m.url, m.body),
		failed AS (
		    UPDATE outbox.message m
		       SET available_at = now() + interval '5 s' * power(2, m.attempts)
		      FROM result r
		     WHERE m.id = r.id AND (r.status BETWEEN 200 AND 299) IS NOT TRUE
		    RETURNING m.id, m.attempts, m.url, m.body)
		INSERT INTO outbox.attempt
		    (message_id, attempt, url, body, status, error, duration_ms)
		SELECT m.id, m.attempts, m.url, m.body, r.status, r.error, r.duration_ms
		  FROM (SELECT * FROM sent UNION ALL SELECT * FROM failed) AS m
		  JOIN result r USING (id)`,
};

const database = new pg.Pool({ max: 3 });
const pools = new Map();			// of connections, by origin

let leased = [];					// not sent yet
let nextLeased = 0;
let inFlight = 0;
let leasing = false;
let maybeMore = true;
let finished = [];

function poolOf(origin) {
	let pool = pools.get(origin);

	if (!pool) {
		pool = new Pool(origin, {
			connections: IN_FLIGHT,
			pipelining: 1,
			headersTimeout: TIMEOUT_MS,
			bodyTimeout: TIMEOUT_MS,
			connect: { timeout: 5000 },
		});
		pools.set(origin, pool);
	}
	return pool;
}

function headersOf(message) {
	const id = `msg_${message.id}`;
	const timestamp = Math.floor(Date.now() / 1000);
	const signature = createHmac('sha256', SECRET)
		.update(`${id}.${timestamp}.${message.body}`)
		.digest('base64');

	return {
		'content-type': 'application/json',
		'webhook-id': id,
		'webhook-timestamp': String(timestamp),
		'webhook-signature': `v1,${signature}`,
	};
}

async function send(message) {
	const url = new URL(message.url);
	const started = performance.now();
	let status = null;
	let error = null;

	try {
		const response = await poolOf(url.origin).request({
			method: 'POST',
			path: url.pathname + url.search,
			headers: headersOf(message),
			body: message.body,
		});

		status = response.statusCode;
		await response.body.dump();
	} catch (problem) {
		error = problem.code ?? problem.message;
	}
	finished.push([message.id, status, error, performance.now() - started]);
	inFlight--;
	if (finished.length >= BATCH)
		finish();
	pump();
}

function pump() {
	while (inFlight < IN_FLIGHT && nextLeased < leased.length) {
		inFlight++;
		send(leased[nextLeased++]);
	}
	if (maybeMore && !leasing && leased.length - nextLeased < BATCH / 2)
		lease();
}

async function lease() {
	leasing = true;
	maybeMore = false;
	const { rows } = await database.query({ ...LEASE, values: [BATCH] });

	if (rows.length === BATCH)
		maybeMore = true;
	leased = leased.slice(nextLeased).concat(rows);
	nextLeased = 0;
	leasing = false;
	pump();
}

async function finish() {
	if (finished.length === 0)
		return;
	const batch = finished;
	const column = (i) => batch.map((result) => result[i]);

	finished = [];
	await database.query({
		...FINISH,
		values: [column(0), column(1), column(2), column(3)],
	});
}

function lookForMore() {
	maybeMore = true;
	pump();
}

process.on('unhandledRejection', (problem) => {
	console.error(problem);
	process.exit(1);
});
process.on('SIGTERM', () => process.exit(0));

const listener = new pg.Client();

await listener.connect();
listener.on('notification', lookForMore);
await listener.query('LISTEN outbox');
setInterval(lookForMore, POLL_MS);
setInterval(finish, FLUSH_MS);
lookForMore();
console.log('ready');
