/*
 * compare_numbers.mjs
 *	  Does kgw_jcs_number_format() print doubles as ECMAScript does?
 *
 * RFC 8785 defines numbers by ECMAScript's Number::toString, so the judge is
 * an ECMAScript engine itself: more than a million doubles go through both,
 * chosen where shortest-decimal code goes wrong (powers of ten and two and
 * their neighbors, subnormals, integers about 2^53) and at random.
 *
 * usage: node compare_numbers.mjs path/to/canonical_cli [seed]
 *
 * test/receivers/compare_numbers.mjs
 */
import { spawnSync } from "node:child_process";

const cli = process.argv[2];
const seed = Number(process.argv[3] ?? Math.floor(Math.random() * 2 ** 32));
const view = new DataView(new ArrayBuffer(8));

/* mulberry32: small, and the same on every machine. */
let state = seed >>> 0;
function random32() {
	state = (state + 0x6d2b79f5) >>> 0;
	let t = Math.imul(state ^ (state >>> 15), state | 1);
	t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
	return (t ^ (t >>> 14)) >>> 0;
}

function fromBits(high, low) {
	view.setUint32(0, high);
	view.setUint32(4, low);
	return view.getFloat64(0);
}

function bitsOf(x) {
	view.setFloat64(0, x);
	return view.getBigUint64(0).toString(16).padStart(16, "0");
}

/* The value and some units in the last place below and above it. */
function neighbors(values, reach) {
	const all = [];
	for (const x of values) {
		view.setFloat64(0, x);
		const bits = view.getBigUint64(0);
		for (let i = -reach; i <= reach; i++) {
			view.setBigUint64(0, BigInt.asUintN(64, bits + BigInt(i)));
			all.push(view.getFloat64(0), -view.getFloat64(0));
		}
	}
	return all;
}

function range(from, to, make) {
	return Array.from({ length: to - from + 1 }, (_, i) => make(from + i));
}

function randoms(count, make) {
	return Array.from({ length: count }, make);
}

const groups = {
	"zeros and the ends of the range": () =>
		[0, -0, ...neighbors([Number.MIN_VALUE * 20, Number.MAX_VALUE,
			2 ** -1022], 20)],
	"powers of ten and 8 neighbors on each side": () =>
		neighbors(range(-323, 308, (e) => Number(`1e${e}`)), 8),
	"multiples of powers of ten and 2 neighbors on each side": () =>
		neighbors(range(-323, 307, (e) => e).flatMap((e) =>
			range(2, 9, (m) => Number(`${m}e${e}`))), 2),
	"powers of two and 8 neighbors on each side": () =>
		neighbors(range(-1074, 1023, (e) => 2 ** e), 8),
	"subnormals": () =>
		randoms(40000, () => fromBits(random32() & 0x800fffff, random32())
			* 2 ** -(random32() % 52)),
	"integers about 2^53": () =>
		randoms(40000, () => 2 ** 53 + random32() % 2e6 - 1e6),
	"amounts with a few decimals": () =>
		randoms(60000, () => Number(
			`${random32() % 1e6}.${random32() % 10 ** (1 + random32() % 9)}`)),
	"short decimals of any size": () =>
		randoms(60000, () => Number(
			`${random32()}e${random32() % 600 - 300}`)),
};
for (let i = 1; i <= 5; i++) {
	groups[`random bits, part ${i} of 5`] = () =>
		randoms(200000, () => fromBits(random32(), random32()));
}

/* Puts the numbers through the C code; what it printed, line by line. */
function format(numbers) {
	const run = spawnSync(cli, ["numbers"], {
		input: numbers.map(bitsOf).join("\n") + "\n",
		encoding: "latin1",
		maxBuffer: 1 << 28,
	});
	if (run.error)
		throw run.error;
	if (run.status !== 0)
		throw new Error(`${cli} ended with ${run.status ?? run.signal}: ${run.stderr}`);
	return run.stdout.split("\n");
}

let failed = 0;
let total = 0;
console.log(`# seed ${seed}`);
for (const [i, [name, make]] of Object.entries(groups).entries()) {
	const numbers = make().filter(Number.isFinite);
	const got = format(numbers);
	const wrong = numbers.map((x, n) => [x, got[n]])
		.filter(([x, text]) => text !== String(x));
	const pass = wrong.length === 0 && got.length === numbers.length + 1;
	total += numbers.length;
	failed += !pass;
	console.log(`${pass ? "ok" : "not ok"} ${i + 1} - ${name}: ${numbers.length}`);
	for (const [x, text] of wrong.slice(0, 5))
		console.log(`#      got: ${text}\n# expected: ${x} (bits ${bitsOf(x)})`);
}
console.log(`1..${Object.keys(groups).length}`);
console.log(`# ${total} numbers`);
process.exitCode = failed > 0 || total < 1000000 ? 1 : 0;
