#!/usr/bin/env node
/*-------------------------------------------------------------------------
 *
 * answers.mjs --seed=N --count=N
 *	  Answers made from a grammar of HTTP/1.1 and its breaches, and what a strict
 *	  parser says of them.
 *
 * answer(seed, n) makes the n-th: its bytes, and the rules that it breaks.
 * hostile.mjs sends it (/made/SEED/N) and closes the connection then.  As a
 * program, this writes a line for each: {"n", "breaks", "meant", "strict"}.
 * "meant" is the three digits where the first final status line has its status,
 * or null; "strict" is the one that Node's own client, llhttp, reports, or null if
 * it reports an error before the headers are complete.
 *
 * test/receivers/answers.mjs
 *
 *-------------------------------------------------------------------------
 */
import http from 'node:http';
import net from 'node:net';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

/* mulberry32: numbers from 0 to 1, the same for a seed on any machine. */
export function randomOf(seed) {
	let a = seed >>> 0;

	return () => {
		a = (a + 0x6D2B79F5) | 0;
		let t = Math.imul(a ^ (a >>> 15), 1 | a);

		t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
		return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
	};
}

class Answer {
	constructor(seed, n) {
		this.random = randomOf(seed * 100003 + n);
		this.breaks = new Set();
		/* half of them break a rule now and then, the others none */
		this.rate = this.random() < 0.5 ? 0.12 : 0;
	}

	upTo(n) {
		return Math.floor(this.random() * n);
	}

	oneOf(...list) {
		return list[this.upTo(list.length)];
	}

	/* What keeps the rule; or, and that is noted under its name, what breaks it. */
	rule(name, good, ...bad) {
		if (this.random() >= this.rate)
			return this.oneOf(...good);
		this.breaks.add(name);
		return this.oneOf(...bad);
	}

	eol() {
		return this.rule('line end', ['\r\n'], '\n', '\r', '\r\r\n');
	}

	statusLine(...statuses) {
		const version = this.rule('version', ['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0'],
			'HTTP/1.2', 'HTTP/2', 'HTTP/2.0', 'http/1.1', 'HTTP/0.9', 'HTTP/11.1', 'HTTP1.1', 'ICY', ' HTTP/1.1', '\r\nHTTP/1.1');
		const status = this.rule('status', statuses, '20', '2000', '2x0', '099', '-200', '0200', '', '200.0');
		const reason = this.rule('reason', ['OK', '', 'Not Found At All', 'caf\xe9', 'a\tb'],
			'a\0b', '\x1b[2J', '\x7f', 'x'.repeat(300000));

		return `${version} ${status} ${reason}${this.eol()}`;
	}

	header() {
		const name = this.rule('name', ['x-a', 'Server', 'date', 'X_b', '!#$%'],
			'x a', 'x ', '', 'x\0', 'x\x80', '(x)');
		const value = this.rule('value', ['y', '', '  y  ', 'a\tb', 'caf\xe9', 'x'.repeat(3000)],
			'a\0b', 'a\x01b', 'x'.repeat(400000), 'a\rb');

		if (this.random() < this.rate / 2) {
			this.breaks.add('header');
			return this.oneOf('nonsense', ': y', ' folded', '\tfolded', '\0') + this.eol();
		}
		if (this.random() < this.rate / 2) {
			this.breaks.add('folding');
			return `${name}: ${value}\r\n ${value}${this.eol()}`;
		}
		return `${name}:${value}${this.eol()}`;
	}

	headers() {
		let text = '';

		for (let n = this.upTo(6); n > 0; n--)
			text += this.header();
		return text;
	}

	chunked(body) {
		let text = '';
		let rest = body;

		while (rest !== '') {
			const size = 1 + this.upTo(rest.length);

			text += this.rule('chunk', [size.toString(16), `0${size.toString(16)};a=b`],
				'-1', 'g', '', 'ffffffffffffffffff', ` ${size}`) + `\r\n${rest.slice(0, size)}\r\n`;
			rest = rest.slice(size);
		}
		return `${text}0\r\n${this.oneOf('', '', 'x-trailer: y\r\n')}\r\n`;
	}

	/* The headers that say how long the body is, and the body. */
	framed() {
		const body = this.oneOf('', 'ok', 'HTTP/1.1 200 OK\r\n\r\n', '\0\xff'.repeat(50), 'x'.repeat(100000));

		switch (this.upTo(3)) {
			case 0:
				return ['', body];
			case 1:
				return [this.rule('length', [`content-length: ${body.length}\r\n`],
					`content-length: ${body.length}\r\ncontent-length: ${body.length}\r\n`,
					`content-length: ${body.length}\r\ncontent-length: 7\r\n`, 'content-length: -2\r\n',
					'content-length: 0x2\r\n', 'content-length: 99999999999999999999999\r\n',
					'content-length: +2\r\n', 'content-length: 2, 2\r\n', 'content-length:\r\n',
					`content-length: ${body.length}\r\ntransfer-encoding: chunked\r\n`), body];
			default:
				return [this.rule('coding', ['transfer-encoding: chunked\r\n'],
					'transfer-encoding: gzip, chunked\r\n', 'transfer-encoding: chunked, gzip\r\n',
					'transfer-encoding: identity\r\n', 'transfer-encoding: chunked, chunked\r\n',
					'transfer-encoding: nonsense\r\n', 'transfer-encoding: \x0bchunked\r\n'), this.chunked(body)];
		}
	}

	/* Answers that are none yet. */
	informational() {
		let text = '';

		for (let n = this.rule('flood', [0, 0, 0, 1, 2, 20], 20000); n > 0; n--)
			text += `HTTP/1.1 ${this.oneOf('100', '102', '103')} Wait\r\n${this.oneOf('', 'link: </x>\r\n')}\r\n`;
		return text;
	}

	make() {
		const before = this.informational();
		const line = this.statusLine('200', '200', '201', '204', '299', '304', '400', '404', '410', '429', '500', '503', '999');
		const [framing, body] = this.framed();
		const head = before + line + this.headers() + framing + this.headers() + this.eol();
		const after = this.oneOf('', '', 'garbage', 'HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n', '\0'.repeat(1000));
		let bytes = head + body + after;

		/* the connection ends early: within the head, or anywhere */
		if (this.random() < 0.2)
			bytes = bytes.slice(0, this.upTo(this.oneOf(head.length, bytes.length) + 1));
		const meant = /^\s*\S+ (\d\d\d)(?!\d)/.exec(bytes.slice(before.length));

		return { bytes: Buffer.from(bytes, 'latin1'), breaks: [...this.breaks],
			meant: meant && Number(meant[1]) };
	}
}

export function answer(seed, n) {
	return new Answer(seed, n).make();
}

/* What Node's client says of it: a status, or null. */
function strict(made) {
	return new Promise((resolve) => {
		const server = net.createServer((socket) => {
			socket.on('error', () => {});
			socket.once('data', () => socket.end(made.bytes));
		});
		const done = (status) => {
			server.close();
			resolve(status);
		};

		server.listen(0, '127.0.0.1', () => {
			const request = http.request({ port: server.address().port, host: '127.0.0.1', method: 'POST',
				agent: false, maxHeaderSize: 100000 });

			request.on('response', (response) => {
				response.on('error', () => {});
				done(response.statusCode);
				request.destroy();
			});
			request.on('error', () => done(null));
			request.end('{}');
		});
	});
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
	const { values } = parseArgs({ options: { seed: { type: 'string', default: '1' }, count: { type: 'string', default: '200' } } });

	for (let n = 1; n <= Number(values.count); n++) {
		const made = answer(Number(values.seed), n);

		console.log(JSON.stringify({ n, breaks: made.breaks, meant: made.meant, strict: await strict(made) }));
	}
}
