/*
 * browser.mjs
 *	  A real Chromium, spoken to over two pipes: no port, no package.
 *
 * Chromium's --remote-debugging-pipe takes commands as JSON on descriptor 3 and
 * answers on 4, each message ended by a NUL.  The browser lives in a profile of
 * its own, below the directory it is given, and is ended by its process id when it
 * doesn't end by itself.
 *
 * test/browser/browser.mjs
 */

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const options = [
	'--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
	'--no-default-browser-check', '--disable-background-networking', '--disable-component-update',
	'--disable-sync', '--disable-extensions', '--disable-breakpad', '--hide-scrollbars',
	'--force-color-profile=srgb', '--remote-debugging-pipe',
];

export class Browser {
	#calls = new Map();
	#listeners = [];
	#next = 1;
	#rest = Buffer.alloc(0);

	constructor(directory) {
		const profile = fs.mkdtempSync(path.join(directory, 'profile-'));

		this.log = '';
		this.process = spawn('chromium', [...options, `--user-data-dir=${profile}`, 'about:blank'], {
			cwd: directory,
			env: { ...process.env, HOME: profile, XDG_CONFIG_HOME: profile, XDG_CACHE_HOME: profile },
			stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
		});
		this.ended = new Promise((resolve) => this.process.on('close', resolve));
		this.process.stderr.on('data', (bytes) => { this.log += bytes; });
		this.process.stdio[4].on('data', (bytes) => this.#take(bytes));
		this.process.stdio[3].on('error', () => {});
		this.ended.then(() => {
			for (const { reject } of this.#calls.values())
				reject(new Error(`chromium has ended: ${this.log}`));
		});
	}

	#take(bytes) {
		let end;

		this.#rest = Buffer.concat([this.#rest, bytes]);
		while ((end = this.#rest.indexOf(0)) >= 0) {
			const message = JSON.parse(this.#rest.subarray(0, end).toString());
			const call = this.#calls.get(message.id);

			this.#rest = this.#rest.subarray(end + 1);
			this.#calls.delete(message.id);
			if (!call)
				this.#listeners.forEach((listener) => listener(message));
			else if (message.error)
				call.reject(new Error(`${call.method}: ${message.error.message}`));
			else
				call.resolve(message.result);
		}
	}

	/* listener({ method, params, sessionId }) hears all that happens from now on. */
	listen(listener) {
		this.#listeners.push(listener);
	}

	send(method, params = {}, sessionId = undefined) {
		return new Promise((resolve, reject) => {
			const id = this.#next++;

			this.#calls.set(id, { method, resolve, reject });
			this.process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
		});
	}

	/* Ends the browser, within five seconds. */
	async close() {
		const timer = setTimeout(() => this.process.kill('SIGKILL'), 5000);

		await this.send('Browser.close').catch(() => {});
		await this.ended;
		clearTimeout(timer);
	}
}
