// Opens every page of the console in a real browser: with the sample data, with an empty store, with an unavailable
// store, with 10,000 entitlements, and with hostile names and ids. Each page must pass axe-core's rules of WCAG 2.2 AA,
// contain no script, load nothing from other origins, and cause no error or warning in the browser.
//
//   LOCAL=target/debug/local BYOS=target/debug/byos node browser.mjs
//
// Starts and stops the stacks that it needs. CHROMIUM is the path of the browser; SCREENSHOTS, if set, is a folder for a
// screenshot of each page.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import axe from 'axe-core';
import { chromium } from 'playwright-core';

const local = process.env.LOCAL ?? 'target/debug/local';
const byos = process.env.BYOS ?? 'target/debug/byos';
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const screenshots = process.env.SCREENSHOTS;

let passed = 0;
let failed = 0;
function check(promise, holds, actual = '') {
  if (!holds || process.env.VERBOSE) console.log(`${holds ? 'ok    ' : 'failed'} ${promise}${holds || !actual ? '' : `: ${actual}`}`);
  if (holds) passed += 1;
  else failed += 1;
}

const processes = [];

// Starts the binary, and returns the console's address when it is printed.
async function start(binary, args, env = {}) {
  const child = spawn(binary, args, { env: { ...process.env, RUST_LOG: 'warn', ...env }, stdio: ['ignore', 'pipe', 'inherit'] });
  processes.push(child);
  for await (const line of createInterface({ input: child.stdout })) {
    const address = line.match(/http:\/\/127\.0\.0\.1:\d+\/console\?token=\S+/)?.[0];
    if (address) {
      child.stdout.resume();
      return { address, origin: new URL(address).origin };
    }
  }
  throw new Error(`${binary} ${args.join(' ')} did not start`);
}

async function send(origin, events) {
  for (const event of events) {
    const response = await fetch(`${origin}/webhook`, {
      method: 'POST',
      headers: { 'Stigg-Webhooks-Secret': 'local-secret', 'Content-Type': 'application/json' },
      body: JSON.stringify(event),
    });
    const { outcome } = await response.json();
    check(`${event.type} of ${event.messageId} is applied`, outcome === 'applied', `${response.status} ${outcome}`);
  }
}

const feature = (id, more) => ({ feature: { id, name: id, featureType: 'NUMBER', meterType: 'FLUCTUATING' }, usageLimit: 10, currentUsage: 5, ...more });
const timestamp = new Date().toISOString();
const list = (messageId, customer, resource, entitlements) =>
  ({ type: 'entitlements.updated', messageId, timestamp, entitlementsUpdatedAt: timestamp, customer, resource, entitlements });

const script = '<script>document.title = window.pwned = "pwned"</script>';
const image = '"><img src=x onerror="window.pwned = 1">';
const reversed = 'invoice\u202Efdp.exe';
const huge = 'x'.repeat(10_240);
const hostile_ids = [script, image, reversed, '../health?id=x&y#z', "' OR 1=1 --", 'é'.repeat(250), '%2e%2e/%00'];

const hostile = hostile_ids.flatMap((id, index) => [
  { type: 'customer.created', messageId: `m-${index}-${image}`, timestamp, id, name: [script, image, reversed, huge, '', 'a\tb', '\u200b'][index], email: image, billingId: reversed },
  list(`l-${index}`, { id }, null, [
    feature(`${script}${index}`, { feature: { id: `${script}${index}`, name: huge, featureType: 'NUMBER', meterType: 'FLUCTUATING' } }),
    feature(`enum-${index}`, { feature: { id: `enum-${index}`, name: image, featureType: 'ENUM' }, enumValues: [script, reversed, huge] }),
    feature(reversed, { resetPeriod: script, usagePeriodEnd: '2030-01-01T00:00:00Z' }),
  ]),
  list(`r-${index}`, { id }, { id: image }, [feature(image)]),
  {
    type: 'subscription.created', messageId: `s-${index}`, timestamp, id: `${image}${index}`, status: script, startDate: timestamp,
    customer: { id }, plan: { id: image, name: `${reversed}${huge}` }, billingId: reversed,
  },
]);

const many = [
  { type: 'customer.created', messageId: 'many', timestamp, id: 'customer-many', name: 'Ten thousand' },
  list('many-list', { id: 'customer-many' }, null, Array.from({ length: 10_000 }, (_, n) => ({
    feature: { id: `f-${String(n).padStart(5, '0')}`, featureType: 'BOOLEAN' },
  }))),
];

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--host-resolver-rules=MAP attacker.example 127.0.0.1'] });

// Signs in to a console with its address, in a new browser context.
async function open({ address, origin }, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  const page = await context.newPage();
  const state = { page, context, origin, messages: [], foreign: [] };
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) state.messages.push(message.text());
  });
  page.on('pageerror', (error) => state.messages.push(String(error)));
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== origin) state.foreign.push(request.url());
  });
  await page.goto(address);
  check('the token is removed from the URL', page.url() === `${origin}/console`, page.url());
  return state;
}

let screenshotCount = 0;

// Checks the open page.
async function audit(state, what, status = 200) {
  const { page } = state;
  // The browser logs an error for an expected status too.
  const messages = state.messages.splice(0).filter((text) => status < 400 || !text.includes(`status of ${status}`));
  check(`${what}: the browser logs no error or warning`, messages.length === 0, messages.join('\n'));
  check(`${what}: nothing is loaded from other origins`, state.foreign.length === 0, state.foreign.join(' '));
  const found = await page.evaluate(() => ({
    pwned: window.pwned,
    scripts: document.scripts.length,
    images: [...document.images].map((image) => image.getAttribute('src')).filter((src) => src !== '/console/icon.svg').length,
    handlers: [...document.querySelectorAll('*')].filter((element) => [...element.attributes].some(({ name }) => name.startsWith('on') || name === 'style')).length,
    overflows: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    bytes: document.documentElement.outerHTML.length,
    headings: document.querySelectorAll('h1').length,
  }));
  check(`${what}: no data is executed`, !found.pwned && !found.scripts && !found.images && !found.handlers, JSON.stringify(found));
  check(`${what}: the page is not wider than the window`, !found.overflows);
  check(`${what}: the page is smaller than 1 MB`, found.bytes < 1_000_000, String(found.bytes));
  check(`${what}: the page has one h1`, found.headings === 1, String(found.headings));
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  const details = violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html, failureSummary }) => `${html.slice(0, 160)} (${failureSummary.replace(/\s+/g, ' ').slice(0, 200)})`).join(' | ')}`);
  check(`${what}: no violation of axe-core's rules`, violations.length === 0, details.join('\n'));
  if (screenshots) await page.screenshot({ path: `${screenshots}/${String(++screenshotCount).padStart(2, '0')}-${what.replace(/[^a-z0-9]+/gi, '-')}.png`, fullPage: true });
}

async function visit(state, path, what, status = 200) {
  const response = await state.page.goto(state.origin + path);
  check(`${what}: the status is ${status}`, response.status() === status, String(response.status()));
  await audit(state, what, status);
}

async function search(state, term) {
  await state.page.goto(`${state.origin}/console`);
  await state.page.fill('#q', term);
  await state.page.press('#q', 'Enter');
  await state.page.waitForLoadState();
}

const customer = (id) => `/console/customer?id=${encodeURIComponent(id)}`;
const alder = 'customer=customer-alder';

async function sample_data(stack) {
  for (const [name, options] of [
    ['light', {}],
    ['dark', { colorScheme: 'dark' }],
    ['narrow', { viewport: { width: 390, height: 800 } }],
    ['large text', { viewport: { width: 640, height: 430 } }],
  ]) {
    const state = await open(stack, options);
    await visit(state, '/console', `customers, ${name}`);
    await search(state, 'customer-');
    await audit(state, `search, ${name}`);
    await visit(state, customer('customer-alder'), `a customer, ${name}`);
    await visit(state, customer('customer-birch'), `a deleted customer, ${name}`);
    await visit(state, customer('customer-cedar'), `a customer without entitlements, ${name}`);
    await visit(state, customer('nobody'), `no such customer, ${name}`, 404);
    await visit(state, '/console/check', `check access, ${name}`);
    await visit(state, `/console/check?${alder}&feature=feature-seats&usage=1`, `a denied decision, ${name}`);
    await visit(state, `/console/check?${alder}&feature=feature-support-level&values=chat%0Aphone`, `a decision with requested values, ${name}`);
    await visit(state, `/console/check?${alder}&feature=feature-sensors&resource=site-berlin`, `a granted decision, ${name}`);
    await visit(state, `/console/check?${alder}&feature=feature-seats&usage=-1`, `an invalid field, ${name}`, 400);
    await visit(state, `/console/history?${alder}&feature=feature-api-calls`, `history, ${name}`);
    await visit(state, '/console/health', `health, ${name}`);
    await state.page.click('button');
    await state.page.waitForSelector('.findings');
    await audit(state, `health with checks, ${name}`);
    await visit(state, '/console/nothing', `no such page, ${name}`, 404);
    await state.context.close();
  }
}

// Keyboard only, and without JavaScript.
async function keyboard(stack) {
  const { page, context, origin } = await open(stack);
  await page.goto(`${origin}${customer('customer-alder')}`);
  await page.keyboard.press('Tab');
  check('the first Tab stop is the link to the content', await page.evaluate(() => document.activeElement.className) === 'skip');
  check('the link is visible while it has the focus', await page.evaluate(() => document.activeElement.getBoundingClientRect().top >= 0));
  await page.keyboard.press('Enter');
  check('the link moves the focus to the content', await page.evaluate(() => document.activeElement.id) === 'main');
  const stops = new Set();
  for (let n = 0; n < 60; n += 1) {
    await page.keyboard.press('Tab');
    // After the last stop, the focus returns to the start.
    if (await page.evaluate(() => document.activeElement === document.body)) break;
    const { name, outlined } = await page.evaluate(() => ({
      name: document.activeElement.textContent.trim().replace(/\s+/g, ' '),
      outlined: getComputedStyle(document.activeElement).outlineStyle !== 'none',
    }));
    stops.add(name);
    if (!outlined) check(`the focus is visible on ${name.slice(0, 60)}`, false);
  }
  check('each entitlement has a link with a unique name', stops.has('Explain the decision for feature-seats'), [...stops].join(' | ').slice(0, 600));
  await context.close();

  const plain = await open(stack, { javaScriptEnabled: false });
  await plain.page.fill('#q', 'finance@alder.example');
  await plain.page.press('#q', 'Enter');
  await plain.page.waitForURL('**/customer?id=*');
  check('a search by e-mail address works without JavaScript, and the URL contains no e-mail address', plain.page.url().endsWith('/console/customer?id=customer%2Dalder'), plain.page.url());
  await plain.page.click('text=Explain the decision for feature-seats');
  await plain.page.fill('#usage', '1');
  await plain.page.press('#usage', 'Enter');
  await plain.page.waitForURL('**usage=1**');
  check('an entitlement links to its decision', (await plain.page.textContent('#verdict')).trim() === 'Denied');
  const [cookie] = await plain.context.cookies();
  check('the cookie is HttpOnly, SameSite=Strict, and limited to /console', cookie.httpOnly && cookie.sameSite === 'Strict' && cookie.path === '/console', JSON.stringify(cookie));
  await plain.context.close();
}

async function empty_store(stack) {
  const state = await open(stack);
  await visit(state, '/console', 'no customers');
  await search(state, 'nobody');
  await audit(state, 'search without a match');
  await visit(state, '/console/check?customer=nobody&feature=f', 'a decision for an unknown customer');
  await visit(state, '/console/history?customer=nobody&feature=f', 'history of an unknown customer');
  await visit(state, '/console/health', 'health of an empty stack');
  await state.context.close();
}

async function store_error(stack) {
  const state = await open(stack);
  state.messages.length = 0;
  for (const path of ['/console', '/console/customer?id=c', '/console/check?customer=c&feature=f', '/console/history?customer=c&feature=f']) {
    await visit(state, path, `unavailable store, ${path}`, 503);
    check(`${path}: the page reports it`, (await state.page.textContent('h1')) === 'The store did not answer');
  }
  await visit(state, '/console/health', 'health without a store');
  await state.context.close();
}

async function ten_thousand(stack) {
  const state = await open(stack);
  await visit(state, customer('customer-many'), '10,000 entitlements');
  const rows = () => state.page.locator('.entitlements tbody tr').count();
  check('a page has 100 rows', (await rows()) === 100, String(await rows()));
  check('the page shows the total', (await state.page.textContent('main')).includes('Entitlements 1–100 of 10,000'));
  await visit(state, `${customer('customer-many')}&page=100`, 'the last of 10,000 entitlements');
  check('the last page ends with the last entitlement', (await state.page.locator('.entitlements tbody tr').last().textContent()).includes('f-09999'));
  await state.page.fill('input[name=filter]', 'F-0777');
  await state.page.click('text=Apply');
  await state.page.waitForURL('**filter=F-0777**');
  check('the filter matches substrings of ids', (await rows()) === 10, String(await rows()));
  await visit(state, '/console/check?customer=customer-many&feature=f-07777', 'a decision for one of 10,000 entitlements');
  await state.context.close();
}

async function hostile_data(stack) {
  for (const options of [{}, { viewport: { width: 390, height: 800 } }]) {
    const state = await open(stack, options);
    const width = options.viewport?.width ?? 1280;
    await visit(state, '/console', `hostile customers, ${width}`);
    for (const [index, id] of hostile_ids.entries()) {
      await visit(state, customer(id), `hostile customer ${index}, ${width}`);
      const ids = await state.page.locator('.subject .id bdi').first().textContent();
      check('its id is shown, and does not reorder other text', !/[\u202a-\u202e\u2066-\u2069\u200b]/.test(await state.page.textContent('body')) && ids.length > 0, ids);
      await state.page.locator('text=Explain').first().click();
      await state.page.waitForURL('**/check?**');
      check('its entitlement links to its decision', new URL(state.page.url()).searchParams.get('customer') === id, state.page.url());
      await audit(state, `the decision for hostile customer ${index}, ${width}`);
      await state.page.locator('text=History of this decision').click();
      await state.page.waitForURL('**/history?**');
      await audit(state, `the history of hostile customer ${index}, ${width}`);
    }
    for (const term of [script, image, huge.slice(0, 2_000)]) {
      await search(state, term);
      await audit(state, `a hostile search, ${width}`);
    }
    await state.context.close();
  }
}

// Another site: on another port of this machine, and by DNS rebinding.
async function other_sites({ address, origin }) {
  const { context, page } = await open({ address, origin });
  const port = new URL(origin).port;
  const server = createServer((request, response) => {
    response.setHeader('Content-Type', 'text/html');
    response.end(`<title>other site</title><iframe src="${origin}/console"></iframe><img src="${origin}/console/icon.svg">
      <form method="post" action="${origin}/console/health"><button>send</button></form><a href="${origin}/">go</a>`);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const otherSite = `http://127.0.0.1:${server.address().port}/`;
  await page.goto(otherSite);
  const frame = page.frames().find((each) => each !== page.mainFrame());
  const framed = await frame.evaluate(() => document.body.textContent).catch(() => '');
  check('a page on another port cannot frame the console', !framed.includes('Customers by id'), framed.slice(0, 100));
  const read = await page.evaluate((url) => fetch(url, { credentials: 'include' }).then((response) => response.text(), String), `${origin}/console`);
  check('a page on another port cannot read the console', read.startsWith('TypeError'), read.slice(0, 100));
  await page.click('text=go');
  check('a link on another port does not open the console, and reveals no token', !page.url().includes('token') && !(await page.textContent('body')).includes('Customers by id'), page.url());
  await page.goto(otherSite);
  await page.click('text=send');
  check('a page on another port cannot submit forms to the console', (await page.textContent('h1')) === 'Opened from another page', await page.textContent('h1'));
  const response = await page.goto(`http://attacker.example:${port}/console`);
  check('another host name is rejected', response.status() === 403 && (await page.textContent('h1')) === 'Wrong host', String(response.status()));
  await page.goto(`${origin}/`);
  check('/ redirects to the console', (await page.textContent('h2')) === 'Customers by id', page.url());
  server.close();
  await context.close();

  const fresh = await browser.newContext();
  const other = await fresh.newPage();
  const refused = await other.goto(`${origin}/`);
  check('without the token, / leads to an error page', refused.status() === 401 && (await other.textContent('h1')) === 'Open the printed address', String(refused.status()));
  await fresh.close();
}

try {
  const seeded = await start(local, ['--seed', '--port', '0']);
  await sample_data(seeded);
  await keyboard(seeded);
  await other_sites(seeded);
  const empty = await start(local, ['--port', '0']);
  await empty_store(empty);
  await send(empty.origin, [...many, ...hostile]);
  await ten_thousand(empty);
  await hostile_data(empty);
  const unavailable = 'http://127.0.0.1:1';
  await store_error(await start(byos, ['console', '--port', '0'], { DYNAMODB_ENDPOINT: unavailable, BYOS_URL: unavailable }));
} catch (error) {
  check('all pages are visited', false, error.stack);
} finally {
  await browser.close();
  for (const child of processes) child.kill('SIGTERM');
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
