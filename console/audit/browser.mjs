// Opens every view of the console in a real browser: with the sample data, with nothing, with a store that does not
// answer, with 10,000 entitlements and with hostile names and ids. Each page is held to axe-core's rules of WCAG 2.2 AA
// and to what its policy promises: no script, nothing from elsewhere, no complaint of the browser.
//
//   LOCAL=target/debug/local BYOS=target/debug/byos node browser.mjs
//
// It starts and stops the stacks that it needs. CHROMIUM names the browser's program; SCREENSHOTS, if given, the folder
// for a picture of each page.
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
function check(promise, holds, seen = '') {
  if (!holds || process.env.VERBOSE) console.log(`${holds ? 'ok    ' : 'failed'} ${promise}${holds || !seen ? '' : `: ${seen}`}`);
  if (holds) passed += 1;
  else failed += 1;
}

const processes = [];

// Starts the binary, and gives the console's address once it is printed.
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

// A browser that was opened with a console's address.
async function open({ address, origin }, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  const page = await context.newPage();
  const state = { page, context, origin, complaints: [], foreign: [] };
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) state.complaints.push(message.text());
  });
  page.on('pageerror', (error) => state.complaints.push(String(error)));
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== origin) state.foreign.push(request.url());
  });
  await page.goto(address);
  check('the token leaves the address', page.url() === `${origin}/console`, page.url());
  return state;
}

let pictures = 0;

// Holds the page that is open to what every page promises.
async function audit(state, what, status = 200) {
  const { page } = state;
  // The browser complains of statuses that are meant.
  const complaints = state.complaints.splice(0).filter((text) => status < 400 || !text.includes(`status of ${status}`));
  check(`${what}: the browser has nothing to complain of`, complaints.length === 0, complaints.join('\n'));
  check(`${what}: nothing is loaded from elsewhere`, state.foreign.length === 0, state.foreign.join(' '));
  const found = await page.evaluate(() => ({
    pwned: window.pwned,
    scripts: document.scripts.length,
    images: [...document.images].map((image) => image.getAttribute('src')).filter((src) => src !== '/console/icon.svg').length,
    handlers: [...document.querySelectorAll('*')].filter((element) => [...element.attributes].some(({ name }) => name.startsWith('on') || name === 'style')).length,
    overflows: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    bytes: document.documentElement.outerHTML.length,
    headings: document.querySelectorAll('h1').length,
  }));
  check(`${what}: nothing of the data runs`, !found.pwned && !found.scripts && !found.images && !found.handlers, JSON.stringify(found));
  check(`${what}: the page is no wider than its window`, !found.overflows);
  check(`${what}: the page is smaller than 1 MB`, found.bytes < 1_000_000, String(found.bytes));
  check(`${what}: it has one heading of the first level`, found.headings === 1, String(found.headings));
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  const told = violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html, failureSummary }) => `${html.slice(0, 160)} (${failureSummary.replace(/\s+/g, ' ').slice(0, 200)})`).join(' | ')}`);
  check(`${what}: accessible by axe-core's rules`, violations.length === 0, told.join('\n'));
  if (screenshots) await page.screenshot({ path: `${screenshots}/${String(++pictures).padStart(2, '0')}-${what.replace(/[^a-z0-9]+/gi, '-')}.png`, fullPage: true });
}

async function visit(state, path, what, status = 200) {
  const response = await state.page.goto(state.origin + path);
  check(`${what}: answered with ${status}`, response.status() === status, String(response.status()));
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
    await visit(state, '/console/ask', `ask, ${name}`);
    await visit(state, `/console/ask?${alder}&feature=feature-seats&usage=1`, `a denied decision, ${name}`);
    await visit(state, `/console/ask?${alder}&feature=feature-support-level&values=chat%0Aphone`, `a decision on values, ${name}`);
    await visit(state, `/console/ask?${alder}&feature=feature-sensors&resource=site-berlin`, `a granted decision, ${name}`);
    await visit(state, `/console/ask?${alder}&feature=feature-seats&usage=-1`, `a wrong field, ${name}`, 400);
    await visit(state, `/console/history?${alder}&feature=feature-api-calls`, `history, ${name}`);
    await visit(state, '/console/health', `health, ${name}`);
    await state.page.click('button');
    await state.page.waitForSelector('.findings');
    await audit(state, `health with checks, ${name}`);
    await visit(state, '/console/nothing', `no such page, ${name}`, 404);
    await state.context.close();
  }
}

// What a person does, with the keyboard alone and without JavaScript.
async function keyboard(stack) {
  const { page, context, origin } = await open(stack);
  await page.goto(`${origin}${customer('customer-alder')}`);
  await page.keyboard.press('Tab');
  check('the first stop is the link to the content', await page.evaluate(() => document.activeElement.className) === 'skip');
  check('it is seen while it has the focus', await page.evaluate(() => document.activeElement.getBoundingClientRect().top >= 0));
  await page.keyboard.press('Enter');
  check('it leads to the content', await page.evaluate(() => document.activeElement.id) === 'main');
  const stops = new Set();
  for (let n = 0; n < 60; n += 1) {
    await page.keyboard.press('Tab');
    // Behind the last stop it goes on from the start.
    if (await page.evaluate(() => document.activeElement === document.body)) break;
    const { name, outlined } = await page.evaluate(() => ({
      name: document.activeElement.textContent.trim().replace(/\s+/g, ' '),
      outlined: getComputedStyle(document.activeElement).outlineStyle !== 'none',
    }));
    stops.add(name);
    if (!outlined) check(`the focus is seen on ${name.slice(0, 60)}`, false);
  }
  check('each entitlement is explained by a link with a name of its own', stops.has('Explain the decision for feature-seats'), [...stops].join(' | ').slice(0, 600));
  await context.close();

  const plain = await open(stack, { javaScriptEnabled: false });
  await plain.page.fill('#q', 'finance@alder.example');
  await plain.page.press('#q', 'Enter');
  await plain.page.waitForURL('**/customer?id=*');
  check('a search by e-mail works without JavaScript, and leaves no e-mail address in the URL', plain.page.url().endsWith('/console/customer?id=customer%2Dalder'), plain.page.url());
  await plain.page.click('text=Explain the decision for feature-seats');
  await plain.page.fill('#usage', '1');
  await plain.page.press('#usage', 'Enter');
  await plain.page.waitForURL('**usage=1**');
  check('a decision is asked for from an entitlement', (await plain.page.textContent('#verdict')).trim() === 'Denied');
  const [cookie] = await plain.context.cookies();
  check('the cookie is for this console alone', cookie.httpOnly && cookie.sameSite === 'Strict' && cookie.path === '/console', JSON.stringify(cookie));
  await plain.context.close();
}

async function nothing(stack) {
  const state = await open(stack);
  await visit(state, '/console', 'no customers');
  await search(state, 'nobody');
  await audit(state, 'search for nothing');
  await visit(state, '/console/ask?customer=nobody&feature=f', 'a decision about nobody');
  await visit(state, '/console/history?customer=nobody&feature=f', 'history of nothing');
  await visit(state, '/console/health', 'health of an empty stack');
  await state.context.close();
}

async function store_error(stack) {
  const state = await open(stack);
  state.complaints.length = 0;
  for (const path of ['/console', '/console/customer?id=c', '/console/ask?customer=c&feature=f', '/console/history?customer=c&feature=f']) {
    await visit(state, path, `a store that does not answer, ${path}`, 503);
    check(`${path}: the page says so`, (await state.page.textContent('h1')) === 'The store did not answer');
  }
  await visit(state, '/console/health', 'health without a store');
  await state.context.close();
}

async function ten_thousand(stack) {
  const state = await open(stack);
  await visit(state, customer('customer-many'), '10,000 entitlements');
  const rows = () => state.page.locator('.entitlements tbody tr').count();
  check('a page has a hundred of them', (await rows()) === 100, String(await rows()));
  check('it says how many there are', (await state.page.textContent('main')).includes('Entitlements 1–100 of 10,000'));
  await visit(state, `${customer('customer-many')}&page=100`, 'the last of 10,000 entitlements');
  check('the last page ends with the last one', (await state.page.locator('.entitlements tbody tr').last().textContent()).includes('f-09999'));
  await state.page.fill('input[name=filter]', 'F-0777');
  await state.page.click('text=Apply');
  await state.page.waitForURL('**filter=F-0777**');
  check('a filter finds those with a part of an id', (await rows()) === 10, String(await rows()));
  await visit(state, '/console/ask?customer=customer-many&feature=f-07777', 'a decision on one of 10,000');
  await state.context.close();
}

async function hostile_data(stack) {
  for (const options of [{}, { viewport: { width: 390, height: 800 } }]) {
    const state = await open(stack, options);
    const width = options.viewport?.width ?? 1280;
    await visit(state, '/console', `hostile customers, ${width}`);
    for (const [index, id] of hostile_ids.entries()) {
      await visit(state, customer(id), `the hostile customer ${index}, ${width}`);
      const ids = await state.page.locator('.subject .id bdi').first().textContent();
      check(`its id is shown, and no character of it reorders others`, !/[\u202a-\u202e\u2066-\u2069\u200b]/.test(await state.page.textContent('body')) && ids.length > 0, ids);
      await state.page.locator('text=Explain').first().click();
      await state.page.waitForURL('**/ask?**');
      check('its entitlement leads to the decision about it', new URL(state.page.url()).searchParams.get('customer') === id, state.page.url());
      await audit(state, `the decision about the hostile customer ${index}, ${width}`);
      await state.page.locator('text=History of this decision').click();
      await state.page.waitForURL('**/history?**');
      await audit(state, `the history of the hostile customer ${index}, ${width}`);
    }
    for (const term of [script, image, huge.slice(0, 2_000)]) {
      await search(state, term);
      await audit(state, `a hostile search, ${width}`);
    }
    await state.context.close();
  }
}

// Another site, on this machine and by a name that it lets point here.
async function strangers({ address, origin }) {
  const { context, page } = await open({ address, origin });
  const port = new URL(origin).port;
  const server = createServer((request, response) => {
    response.setHeader('Content-Type', 'text/html');
    response.end(`<title>stranger</title><iframe src="${origin}/console"></iframe><img src="${origin}/console/icon.svg">
      <form method="post" action="${origin}/console/health"><button>send</button></form><a href="${origin}/">go</a>`);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stranger = `http://127.0.0.1:${server.address().port}/`;
  await page.goto(stranger);
  const frame = page.frames().find((each) => each !== page.mainFrame());
  const framed = await frame.evaluate(() => document.body.textContent).catch(() => '');
  check('a page on another port cannot frame the console', !framed.includes('Customers by id'), framed.slice(0, 100));
  const read = await page.evaluate((url) => fetch(url, { credentials: 'include' }).then((response) => response.text(), String), `${origin}/console`);
  check('nor read it', read.startsWith('TypeError'), read.slice(0, 100));
  await page.click('text=go');
  check('nor lead into it, and gets no token', !page.url().includes('token') && !(await page.textContent('body')).includes('Customers by id'), page.url());
  await page.goto(stranger);
  await page.click('text=send');
  check('nor send its forms', (await page.textContent('h1')) === 'Opened from another page', await page.textContent('h1'));
  const response = await page.goto(`http://attacker.example:${port}/console`);
  check('a name that points here is refused', response.status() === 403 && (await page.textContent('h1')) === 'Wrong host', String(response.status()));
  await page.goto(`${origin}/`);
  check('the address itself leads to the console', (await page.textContent('h2')) === 'Customers by id', page.url());
  server.close();
  await context.close();

  const fresh = await browser.newContext();
  const other = await fresh.newPage();
  const refused = await other.goto(`${origin}/`);
  check('without the token it does not', refused.status() === 401 && (await other.textContent('h1')) === 'Open the printed address', String(refused.status()));
  await fresh.close();
}

try {
  const seeded = await start(local, ['--seed', '--port', '0']);
  await sample_data(seeded);
  await keyboard(seeded);
  await strangers(seeded);
  const empty = await start(local, ['--port', '0']);
  await nothing(empty);
  await send(empty.origin, [...many, ...hostile]);
  await ten_thousand(empty);
  await hostile_data(empty);
  const away = 'http://127.0.0.1:1';
  await store_error(await start(byos, ['console', '--port', '0'], { DYNAMODB_ENDPOINT: away, BYOS_URL: away }));
} catch (error) {
  check('the browser gets through', false, error.stack);
} finally {
  await browser.close();
  for (const child of processes) child.kill('SIGTERM');
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
