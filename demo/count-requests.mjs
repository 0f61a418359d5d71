/*-------------------------------------------------------------------------
 *
 * count-requests.mjs RECORD LEDGER
 *	  Compares the requests a receiver wrote to the file RECORD with LEDGER, one
 *	  committed "id <tab> status" a line, and prints the counts.
 *
 * A request may come more than once, always under the same webhook-id: a node that is
 * killed between an answer and its commit sends again.  Fails if anything was lost or
 * made up, has two webhook-ids or shares one, came out of order or with a signature
 * that does not verify.
 *
 * demo/count-requests.mjs
 *
 *-------------------------------------------------------------------------
 */
import fs from 'node:fs';

const [recordFile, ledgerFile] = process.argv.slice(2);
const lines = (file) => fs.readFileSync(file, 'utf8').split('\n').filter((line) => line !== '');
const requests = lines(recordFile).map((line) => JSON.parse(line));
const committed = lines(ledgerFile).map((line) => line.replace('\t', ' '));

/* An event's place in the ledger; an object's events come in this order. */
const place = new Map(committed.map((event, n) => [event, n]));

const idsOf = new Map();
const eventsOf = new Map();
const last = new Map();
let madeUp = 0;
let again = 0;
let disorder = 0;

const add = (map, key, value) => map.set(key, (map.get(key) ?? new Set()).add(value));
const withSeveral = (map) => [...map.values()].filter((set) => set.size > 1).length;

for (const { json, headers } of requests) {
	const event = `${json.id} ${json.status}`;

	if (idsOf.has(event))
		again++;
	else if (!place.has(event))
		madeUp++;
	else {
		if (place.get(event) < (last.get(json.id) ?? 0))
			disorder++;
		last.set(json.id, place.get(event));
	}
	add(idsOf, event, headers['webhook-id']);
	add(eventsOf, headers['webhook-id'], event);
}

const faults = {
	'lost': committed.filter((event) => !idsOf.has(event)).length,
	'never committed': madeUp,
	'under two webhook-ids': withSeveral(idsOf),
	'webhook-ids of two events': withSeveral(eventsOf),
	'out of order': disorder,
	'signatures that do not verify': requests.filter(({ valid }) => !valid).length,
};
const print = (name, count) => console.log(`  ${name.padEnd(44)} ${String(count).padStart(6)}`);

print('events committed at the source', committed.length);
print('requests that arrived', requests.length);
print('of them again, under the same webhook-id', again);
console.log();
for (const [name, count] of Object.entries(faults))
	print(name, count);
process.exitCode = committed.length > 0 && Object.values(faults).every((count) => count === 0) ? 0 : 1;
