/*
 * compare_canonical.mjs
 *	  Does kgw_jcs_run() agree with a JCS library that receivers use?
 *
 * Random documents are written in random spellings (white space, escapes,
 * ways to write a number), canonicalized by us from that text, and by the
 * npm library "canonicalize" from what they say.
 *
 * usage: node compare_canonical.mjs path/to/canonical_cli [seed]
 *
 * test/receivers/compare_canonical.mjs
 */
import { spawnSync } from "node:child_process";
import canonicalize from "canonicalize";

const cli = process.argv[2];
const seed = Number(process.argv[3] ?? Math.floor(Math.random() * 2 ** 32));

/* What KgwJcsStatus calls them. */
const OK = 0;
const DUPLICATE = 3;
const BAD_UNICODE = 4;
const INEXACT_NUMBER = 5;

/* mulberry32: small, and the same on every machine. */
let state = seed >>> 0;
function random32() {
	state = (state + 0x6d2b79f5) >>> 0;
	let t = Math.imul(state ^ (state >>> 15), state | 1);
	t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
	return (t ^ (t >>> 14)) >>> 0;
}
const below = (n) => random32() % n;
const pick = (list) => list[below(list.length)];
const times = (n, make) => Array.from({ length: n }, make);

/* Code points, each kind about as often as the others. */
const kinds = [
	() => below(0x20),
	() => pick([0x22, 0x5c, 0x2f, 0x7f]),
	() => 0x20 + below(0x5f),
	() => 0x61 + below(3),
	() => 0x80 + below(0x780),
	() => 0x800 + below(0xd000),
	() => pick([0xd7ff, 0xe000, 0xfb33, 0xfffd, 0xffff, 0x2028, 0xfeff]),
	() => 0xe000 + below(0x2000),
	() => 0x10000 + below(0x100000),
	() => pick([0x10000, 0x1f602, 0x10ffff]),
];

const someString = (longest) =>
	String.fromCodePoint(...times(below(longest + 1), () => pick(kinds)()));

/* A number literal that a double holds, in one of its spellings. */
function someNumber() {
	const view = new DataView(new ArrayBuffer(8));
	let x;
	do {
		view.setUint32(0, random32());
		view.setUint32(4, random32());
		x = pick([() => view.getFloat64(0), () => below(1000),
			() => -below(1e9) / 100, () => 2 ** (below(2000) - 1000),
			() => Number(`1e${below(600) - 300}`), () => 0, () => -0])();
	} while (!Number.isFinite(x));
	return pick([() => Object.is(x, -0) ? "-0" : String(x),
		() => x.toExponential().toUpperCase(), () => x.toPrecision(17),
		() => x.toExponential().replace("e", "000e").replace(/^(-?\d)000/, "$1.000"),
	])();
}

/* Any spelling of a string; every escape there is. */
function spell(string) {
	const short = { "\b": "b", "\t": "t", "\n": "n", "\f": "f", "\r": "r",
		'"': '"', "\\": "\\", "/": "/" };
	let out = "";
	for (const char of string) {
		const code = char.codePointAt(0);
		const must = code < 0x20 || char === '"' || char === "\\";
		if (!must && below(4) > 0)
			out += char;
		else if (char in short && below(2))
			out += "\\" + short[char];
		else
			for (let i = 0; i < char.length; i++) {
				const hex = char.charCodeAt(i).toString(16).padStart(4, "0");
				out += "\\u" + (below(2) ? hex : hex.toUpperCase());
			}
	}
	return `"${out}"`;
}

const space = () => below(3) ? "" : pick([" ", "\n", "\t", "\r\n", "   "]);
const list = (items, open, close) =>
	open + space() + items.map((item) => space() + item + space()).join(",") + close;

function someObject(depth, most) {
	const prefix = below(2) ? someString(3) : "";
	const keys = new Set(times(below(most + 1), () =>
		pick([() => prefix + someString(3), () => pick(["timestamp",
			"signature", "__proto__", "toJSON", "1", "10", "2", ""])])()));
	return list([...keys].map((key) =>
		spell(key) + space() + ":" + space() + someValue(depth - 1)), "{", "}");
}

function someValue(depth) {
	const scalars = [() => spell(someString(12)), someNumber,
		() => pick(["true", "false", "null"])];
	if (depth <= 0 || below(3) === 0)
		return pick(scalars)();
	return below(2) ? someObject(depth, 6) :
		list(times(below(6), () => someValue(depth - 1)), "[", "]");
}

/* Objects and arrays inside each other, every level out of order. */
function someDeep(depth) {
	let text = someNumber();
	for (let i = 0; i < depth; i++)
		text = below(2) ? `[${text}]` :
			`{"z":${below(9)},"b${below(9)}":${text},"a":${someNumber()}}`;
	return text;
}

/* An integer of 16 to 20 digits that is not a multiple of ten. */
const someInteger = () => String(1 + below(9)) +
	times(14 + below(5), () => below(10)).join("") + (1 + below(9));

/*
 * What a text says.  JSON.parse is asked for single strings and numbers only: with
 * V8 12.8 and later (Node 24 and 26) it takes an escaped name for another one that
 * begins like it (https://github.com/nodejs/node/issues/63785).
 */
function read(text) {
	const tokens = text.match(/"(?:[^"\\]|\\.)*"|[[\]{}:,]|[^\s"[\]{}:,]+/g);
	let at = 0;
	const items = (end, item) => {
		const found = [];
		while (tokens[at] !== end) {
			found.push(item());
			if (tokens[at] === ",")
				at++;
		}
		at++;
		return found;
	};
	const member = () => {
		const name = JSON.parse(tokens[at]);
		at += 2;
		return [name, value()];
	};
	const value = () => {
		const token = tokens[at++];
		return token === "[" ? items("]", value) :
			token === "{" ? Object.fromEntries(items("}", member)) :
			JSON.parse(token);
	};
	return value();
}

const held = (integer) => BigInt(Number(integer)) === BigInt(integer);
const canonical = (text) => [OK, canonicalize(read(text))];
const all = (texts, expect) => texts.map((text) => [text, ...expect(text)]);

const groups = {
	"documents of every kind": () =>
		all(times(12000, () => someValue(5)), canonical),
	"objects with many members": () =>
		all(times(300, () => someObject(2, 200)), canonical),
	"nesting of up to 400 levels": () =>
		all(times(300, () => someDeep(1 + below(400))), canonical),
	"numbers in all spellings": () =>
		all(times(2000, () => list(times(10, someNumber), "[", "]")), canonical),
	"integers of 16 to 20 digits, exact or refused": () =>
		all(times(20000, someInteger), (text) =>
			held(text) ? canonical(text) : [INEXACT_NUMBER]),
	"names given twice are refused": () =>
		all(times(1000, () => {
			const key = someString(4);
			return `{${spell(key)}:1,${spell(key + "x")}:2,${spell(key)}:3}`;
		}), () => [DUPLICATE]),
	"half a surrogate pair is refused": () =>
		all(times(1000, () => `["${"a".repeat(below(20))}\\ud${
			pick("89abcdef")}00${pick(["", "x", "\\n", "\\u0041"])}"]`),
		() => [BAD_UNICODE]),
};

/* Puts the texts through the C code: [status, text] of each. */
function run(texts) {
	const frames = texts.flatMap((text) => {
		const bytes = Buffer.from(text);
		const head = Buffer.alloc(4);
		head.writeUInt32LE(bytes.length);
		return [head, bytes];
	});
	const child = spawnSync(cli, ["documents"],
		{ input: Buffer.concat(frames), maxBuffer: 1 << 28 });
	if (child.error)
		throw child.error;
	if (child.status !== 0)
		throw new Error(`${cli} ended with ${child.status ?? child.signal}: ${child.stderr}`);
	const results = [];
	for (let at = 0; at < child.stdout.length;) {
		const end = at + 5 + child.stdout.readUInt32LE(at + 1);
		results.push([child.stdout[at], child.stdout.toString("utf8", at + 5, end)]);
		at = end;
	}
	return results;
}

let failed = 0;
console.log(`# seed ${seed}`);
for (const [i, [name, make]] of Object.entries(groups).entries()) {
	const cases = make();
	const got = run(cases.map(([text]) => text));
	const wrong = cases
		.map(([text, status, expected], n) => [text, status, expected, ...(got[n] ?? [])])
		.filter(([, status, expected, gotStatus, gotText]) =>
			status !== gotStatus || (status === OK && expected !== gotText));
	failed += wrong.length > 0;
	console.log(`${wrong.length ? "not ok" : "ok"} ${i + 1} - ${name}: ${cases.length}`);
	for (const [text, status, expected, gotStatus, gotText] of wrong.slice(0, 3)) {
		console.log(`#    input: ${JSON.stringify(text).slice(0, 500)}`);
		console.log(`#      got: ${gotStatus} ${JSON.stringify(gotText)?.slice(0, 500)}`);
		console.log(`# expected: ${status} ${JSON.stringify(expected)?.slice(0, 500)}`);
	}
}
console.log(`1..${Object.keys(groups).length}`);
process.exitCode = failed > 0 ? 1 : 0;
