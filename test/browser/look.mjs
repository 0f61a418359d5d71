/*
 * look.mjs --directory D [--search TEXT] [--shots] FILE...
 *	  Opens pages in a real Chromium and prints what it saw: a line of JSON for each
 *	  file and each way of looking at it.
 *
 * A page is looked at as on a desk, light and dark, on a tablet, on two phones, in
 * another time zone, and without script.  --shots leaves a picture of each in D, of its upper part.
 *
 * A line has
 *	  file, way
 *	  ran			what the planted scripts have done, if they ran: window.ran
 *	  scripts, elements	 script elements, and a count of all by their name
 *	  handlers		attributes that would run something, or style it
 *	  said			messages of the console and the log, dialogs, exceptions
 *	  requests		addresses asked for, besides the page's own and those that
 *					the browser itself refused
 *	  width, scroll	 of the window and of what is in it, CSS pixels
 *	  height		of the whole page
 *	  folded		on a phone: cells of the first card that are seen, and all of them once it
 *					is unfolded; whether each section that is folded opens; and then the charts
 *	  ground		color of the page's ground
 *	  faint			words whose contrast with what is behind them is below 4.5 (WCAG AA)
 *	  words			how many were looked at for that
 *	  charts		of each drawing its id, its bars, and the length of its lines
 *	  title, text	 what a reader sees
 *	  hidden		text of what is folded away, too
 *	  times			the times, as a machine reads them and as a reader does
 *	  form			whether the search is offered
 *	  hits			rows seen after a search, and rows in all
 *
 * test/browser/look.mjs
 */

import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { Browser } from './browser.mjs';

/* A look that takes longer than this is a failure of its own, milliseconds. */
const PATIENCE = 300000;

/* What a picture shows of a page, from its top, CSS pixels. */
const TALLEST = 1700;

/* Where it is another day than in UTC at this hour: a time beside UTC is longest there. */
const anotherDay = new Date().getUTCHours() >= 10 ? 'Pacific/Kiritimati' : 'Pacific/Pago_Pago';

const ways = [
	{ name: 'light', width: 1280, height: 900 },
	{ name: 'dark', width: 1280, height: 900, dark: true },
	{ name: 'tablet', width: 961, height: 700, mobile: true, zone: anotherDay },
	{ name: 'phone', width: 375, height: 812, mobile: true },
	{ name: 'elsewhere', width: 1440, height: 900, zone: 'Asia/Kolkata' },
	{ name: 'another day', width: 1440, height: 900, zone: anotherDay },
	{ name: 'small phone', width: 320, height: 568, mobile: true, zone: anotherDay },
	{ name: 'without script', width: 1280, height: 900, script: false },
];

/* Runs in the page: words that are hard to read on what is behind them. */
function contrasts() {
	const parse = (color) => (color.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
	const luminance = (color) => parse(color).slice(0, 3)
		.map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4))
		.reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
	const behind = (element) => {
		for (let at = element; at; at = at.parentElement) {
			const color = getComputedStyle(at).backgroundColor;

			if ((parse(color)[3] ?? 1) > 0)
				return color;
		}
		return 'rgb(255, 255, 255)';
	};
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	const faint = [];
	let words = 0;

	for (let node; (node = walker.nextNode());) {
		const element = node.parentElement;

		if (node.data.trim() === '' || element.getClientRects().length === 0)
			continue;
		const style = getComputedStyle(element);
		const ink = element.closest('svg') ? style.fill : style.color;
		const [low, high] = [luminance(ink), luminance(behind(element))].sort((a, b) => a - b);

		words++;
		if ((high + 0.05) / (low + 0.05) < 4.5)
			faint.push(`${((high + 0.05) / (low + 0.05)).toFixed(2)} ${node.data.trim().slice(0, 40)}`);
	}
	return { faint, words };
}

/* Runs in the page: what is drawn so that it can be seen. */
function charts() {
	return [...document.querySelectorAll('svg')].map((svg) => ({
		id: svg.getAttribute('aria-labelledby').split('-t ')[0],
		bars: [...svg.querySelectorAll('rect.good, rect.bad')].filter((bar) => {
			const { width, height } = bar.getBoundingClientRect();

			return width > 1 && height > 1 && getComputedStyle(bar).fill !== 'none';
		}).length,
		lines: [...svg.querySelectorAll('path.line')]
			.filter((line) => getComputedStyle(line).stroke !== 'none')
			.reduce((sum, line) => sum + line.getTotalLength(), 0),
	}));
}

/* Runs in the page. */
function facts(search) {
	const rows = [...document.querySelectorAll('tr.row')];
	const seen = (element) => !element.hidden && element.getClientRects().length > 0;
	const field = document.getElementById('field');
	const elements = {};
	const handlers = [];
	let hits = null;

	for (const element of document.querySelectorAll('*')) {
		elements[element.localName] = (elements[element.localName] ?? 0) + 1;
		for (const { name, value } of element.attributes)
			if (/^on|^style$|^src|^action$/i.test(name) || (name === 'href' && !/^(#|data:,$)/.test(value)))
				handlers.push(`${element.localName} ${name}="${value}"`);
	}
	const found = {
		ran: window.ran ?? null,
		scripts: document.scripts.length,
		elements,
		handlers,
		width: document.documentElement.clientWidth,
		scroll: document.documentElement.scrollWidth,
		height: document.documentElement.scrollHeight,
		ground: getComputedStyle(document.body).backgroundColor,
		...contrasts(),
		charts: charts(),
		title: document.title,
		text: document.body.innerText,
		hidden: document.body.textContent,
		ids: rows.map((row) => row.querySelector('td.id b').textContent),
		times: [...document.querySelectorAll('time')].map((time) => ({
			at: time.getAttribute('datetime'),
			local: time.nextElementSibling?.className === 'local' ? time.nextElementSibling.textContent : null,
		})),
		form: field !== null && field.getClientRects().length > 0,
	};
	if (search !== null && found.form) {
		field.value = search;
		field.dispatchEvent(new Event('input', { bubbles: true }));
		hits = { seen: rows.filter(seen).length, all: rows.length, said: document.getElementById('found').textContent };
		field.value = '';
		field.dispatchEvent(new Event('input', { bubbles: true }));
		hits.afterwards = rows.filter((row) => !row.hidden).length;
	}
	return { ...found, hits };
}

/* Runs in the page: what is folded away on a phone, and whether it comes back. */
function unfold() {
	const seen = (element) => element.getClientRects().length > 0;
	const card = document.querySelector('#destinations tr:has(> .fold)');
	const cells = () => [...card?.querySelectorAll('td:not(.fold)') ?? []].filter((cell) => cell.textContent !== '' && seen(cell)).length;
	const sections = [...document.querySelectorAll('section > .fold')].filter(seen);
	const content = (fold) => fold.nextElementSibling;
	const before = cells();

	card?.querySelector('.fold summary').click();
	const unfolded = {
		cells: before,
		all: cells(),
		sections: sections.map((fold) => {
			const closed = seen(content(fold));

			fold.querySelector('summary').click();
			return `${fold.parentElement.id}: ${closed ? 'open' : 'folded'}, ${seen(content(fold)) ? 'opens' : 'stays'}`;
		}),
	};
	return { ...unfolded, charts: charts() };
}

/* What Chromium says and asks for while a page is looked at. */
function witness(browser, sessionId, said, requests) {
	let loaded;
	const load = new Promise((resolve) => { loaded = resolve; });

	browser.listen(({ method, params, sessionId: from }) => {
		if (from !== sessionId)
			return;
		if (method === 'Page.loadEventFired')
			loaded();
		else if (method === 'Runtime.consoleAPICalled')
			said.push(params.args.map((arg) => String(arg.value ?? arg.description)).join(' '));
		else if (method === 'Runtime.exceptionThrown')
			said.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
		else if (method === 'Log.entryAdded')
			said.push(params.entry.text);
		else if (method === 'Network.requestWillBeSent')
			requests.set(params.requestId, params.request.url);
		else if (method === 'Network.loadingFailed' && params.blockedReason)
			requests.delete(params.requestId);
		else if (method === 'Page.javascriptDialogOpening') {
			said.push(`dialog: ${params.message}`);
			browser.send('Page.handleJavaScriptDialog', { accept: true }, sessionId);
		}
	});
	return load;
}

async function look(browser, file, way, options) {
	const { targetId } = await browser.send('Target.createTarget', { url: 'about:blank' });
	const { sessionId } = await browser.send('Target.attachToTarget', { targetId, flatten: true });
	const send = (method, params) => browser.send(method, params, sessionId);
	const said = [];
	const requests = new Map();
	const url = pathToFileURL(path.resolve(file)).href;
	const load = witness(browser, sessionId, said, requests);

	for (const domain of ['Page', 'Runtime', 'Log', 'Network'])
		await send(`${domain}.enable`);
	await send('Emulation.setDeviceMetricsOverride',
		{ width: way.width, height: way.height, deviceScaleFactor: 1, mobile: way.mobile ?? false });
	await send('Emulation.setEmulatedMedia',
		{ features: [{ name: 'prefers-color-scheme', value: way.dark ? 'dark' : 'light' }] });
	await send('Emulation.setTimezoneOverride', { timezoneId: way.zone ?? 'UTC' });
	if (way.script === false)
		await send('Emulation.setScriptExecutionDisabled', { value: true });
	await send('Page.navigate', { url });
	await load;
	const { result, exceptionDetails } = await send('Runtime.evaluate',
		{ expression: `${contrasts} ${charts} (${facts})(${JSON.stringify(options.search ?? null)})`, returnByValue: true });
	if (exceptionDetails)
		throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
	if (options.shots) {
		const clip = { x: 0, y: 0, width: way.width, height: Math.min(result.value.height, TALLEST), scale: 1 };
		const { data } = await send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true, clip });

		fs.writeFileSync(path.join(options.directory, `${path.basename(file, '.html')}-${way.name}.png`),
			Buffer.from(data, 'base64'));
	}
	const unfolded = await send('Runtime.evaluate', { expression: `${charts} (${unfold})()`, returnByValue: true });

	await browser.send('Target.closeTarget', { targetId });
	return { file: path.basename(file), way: way.name, said, requests: [...requests.values()].filter((r) => r !== url), ...result.value,
		folded: unfolded.result.value };
}

const { values, positionals } = parseArgs({
	allowPositionals: true,
	options: { directory: { type: 'string' }, search: { type: 'string' }, shots: { type: 'boolean' } },
});
const browser = new Browser(values.directory);
const timer = setTimeout(() => {
	process.stderr.write(`chromium takes too long: ${browser.log}\n`);
	browser.process.kill('SIGKILL');
}, PATIENCE);

try {
	for (const file of positionals)
		for (const way of ways)
			process.stdout.write(`${JSON.stringify(await look(browser, file, way, values))}\n`);
} catch (error) {
	process.stderr.write(`${error.stack}\n`);
	process.exitCode = 1;
} finally {
	clearTimeout(timer);
	await browser.close();
}
