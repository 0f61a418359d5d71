/*
 * look.mjs SITE DIRECTORY [PICTURES]
 *	  Reads a rendered site in a real Chromium: each page as on a phone and as on a
 *	  desk, and the search.
 *
 * It fails where a page is wider than its window, says something to the console, or asks
 * another host for anything, and where a search for a function does not
 * find it.  With PICTURES, a folder, it leaves one of the upper part of each page there.
 * The site is served on the loopback interface, because a search needs a server.
 *
 * scripts/site/look.mjs
 */

import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { Browser } from '../../test/browser/browser.mjs';

const PATIENCE = 600000;		/* for all of it, milliseconds */
const SOUGHT = 'kg_redeliver_object';
const ways = [
	{ name: 'phone', width: 375, height: 812, mobile: true },
	{ name: 'desk', width: 1440, height: 900, mobile: false },
];
const types = { '.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript', '.json': 'application/json',
	'.png': 'image/png', '.svg': 'image/svg+xml', '.ico': 'image/x-icon' };

const [site, directory, pictures] = process.argv.slice(2);
const faults = [];

const server = http.createServer((request, response) => {
	const name = decodeURIComponent(new URL(request.url, 'http://site').pathname);
	const file = path.join(site, path.normalize(name), name.endsWith('/') ? 'index.html' : '');

	fs.readFile(file, (error, bytes) => {
		response.writeHead(error ? 404 : 200, { 'content-type': types[path.extname(file)] ?? 'application/octet-stream' });
		response.end(error ? '' : bytes);
	});
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const base = `http://127.0.0.1:${server.address().port}/`;

const browser = new Browser(directory);
const timer = setTimeout(() => {
	process.stderr.write(`chromium takes too long: ${browser.log}\n`);
	browser.process.kill('SIGKILL');
}, PATIENCE);

/* A tab, whose complaints become faults of the page that it shows. */
async function open(way) {
	const { targetId } = await browser.send('Target.createTarget', { url: 'about:blank' });
	const { sessionId } = await browser.send('Target.attachToTarget', { targetId, flatten: true });
	const tab = { page: '', loaded: () => {}, send: (method, params) => browser.send(method, params, sessionId) };
	const complain = (what) => faults.push(`${tab.page} (${way.name}): ${what}`);

	browser.listen((message) => {
		if (message.sessionId !== sessionId)
			return;
		const { method, params } = message;
		if (method === 'Page.loadEventFired')
			tab.loaded();
		else if (method === 'Runtime.exceptionThrown')
			complain(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
		else if (method === 'Log.entryAdded' && params.entry.level === 'error')
			complain(`${params.entry.text} ${params.entry.url ?? ''}`);
		else if (method === 'Network.requestWillBeSent' && !/^(data:|blob:)/.test(params.request.url)
			&& !params.request.url.startsWith(base))
			complain(`asks for ${params.request.url}`);
	});
	for (const domain of ['Page', 'Runtime', 'Log', 'Network'])
		await tab.send(`${domain}.enable`);
	await tab.send('Emulation.setDeviceMetricsOverride',
		{ width: way.width, height: way.height, deviceScaleFactor: 1, mobile: way.mobile });
	tab.go = async (page) => {
		const load = new Promise((resolve) => { tab.loaded = resolve; });

		tab.page = page;
		await tab.send('Page.navigate', { url: base + page });
		await load;
	};
	tab.ask = async (expression) => (await tab.send('Runtime.evaluate',
		{ expression, returnByValue: true, awaitPromise: true })).result.value;
	tab.picture = async (name) => {
		const { data } = await tab.send('Page.captureScreenshot', { format: 'png' });

		fs.writeFileSync(path.join(pictures, `${name}-${way.name}.png`), Buffer.from(data, 'base64'));
	};
	return tab;
}

/* The pages that the search finds for a text, looked at until there are some. */
const search = (text) => `new Promise((resolve) => {
	const input = document.querySelector('#mkdocs-search-query');
	const end = Date.now() + 30000;
	const look = () => {
		const found = [...document.querySelectorAll('#mkdocs-search-results a')].map((a) => a.getAttribute('href'));
		if (found.length > 0 || Date.now() > end)
			resolve(found);
		else {
			input.value = ${JSON.stringify(text)};
			input.dispatchEvent(new Event('keyup', { bubbles: true }));
			setTimeout(look, 200);
		}
	};
	look();
})`;

const pages = fs.readdirSync(site, { recursive: true })
	.map((name) => name.split(path.sep).join('/'))
	.filter((name) => name.endsWith('.html') && name !== '404.html').sort();

try {
	for (const way of ways) {
		const tab = await open(way);

		for (const page of pages) {
			await tab.go(page);
			const wide = await tab.ask('document.documentElement.scrollWidth');
			if (wide > way.width)
				faults.push(`${page} (${way.name}): ${wide} pixels wide`);
			if (pictures)
				await tab.picture(page.replace(/\.html$/, '').replaceAll('/', '-'));
		}
		await tab.go('index.html');
		const found = await tab.ask(search(SOUGHT));
		if (!found.some((href) => href.includes('#') && href.endsWith(SOUGHT)))
			faults.push(`search (${way.name}): ${SOUGHT} is not found, but ${found.length} others`);
	}
} catch (error) {
	faults.push(error.stack);
} finally {
	clearTimeout(timer);
	await browser.close();
	server.close();
}
process.stdout.write([...faults, `${pages.length} pages in Chromium, ${faults.length} faults`].join('\n') + '\n');
process.exitCode = faults.length > 0 ? 1 : 0;
