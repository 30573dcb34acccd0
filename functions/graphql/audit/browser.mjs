// Opens GraphiQL in a browser, enters the token, runs the default query and checks the rows.
//
//   GRAPHIQL_URL=http://127.0.0.1:8080/graphiql API_TOKEN=local-token node browser.mjs
//
// Uses no network: requests to the CDN are answered from node_modules, and the browser checks the hashes that
// the page pins. CHROMIUM is the browser's path, SCREENSHOT the path of the file to write.
import { readFile } from 'node:fs/promises';
import { chromium } from 'playwright-core';

const page_url = process.env.GRAPHIQL_URL ?? 'http://127.0.0.1:8080/graphiql';
const token = process.env.API_TOKEN ?? 'local-token';
const screenshot = process.env.SCREENSHOT ?? 'graphiql.png';
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';

let passed = 0;
let failed = 0;
function check(promise, holds, actual = '') {
  console.log(`${holds ? 'ok    ' : 'failed'} ${promise}${holds || !actual ? '' : `: ${actual}`}`);
  if (holds) passed += 1;
  else failed += 1;
}

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
try {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  const loaded = [];
  const foreign = [];
  const consoleErrors = [];
  page.on('console', (message) => {
    if (message.type() === 'error') consoleErrors.push(message.text());
  });
  page.on('pageerror', (error) => consoleErrors.push(String(error)));
  await context.route('**/*', async (route) => {
    const url = new URL(route.request().url());
    const file = url.pathname.match(/^\/npm\/((?:@[^/]+\/)?[^@/]+)@([0-9.]+)\/(.+)$/);
    if (url.origin === new URL(page_url).origin) return route.continue();
    if (!file) {
      foreign.push(url.href);
      return route.abort();
    }
    const [, name, version, path] = file;
    const folder = new URL(`node_modules/${name}/`, import.meta.url);
    const installed = JSON.parse(await readFile(new URL('package.json', folder), 'utf8')).version;
    check(`${name} ${version} is the version that the page names`, installed === version, installed);
    loaded.push(path);
    return route.fulfill({
      body: await readFile(new URL(path, folder)),
      contentType: path.endsWith('.css') ? 'text/css' : 'text/javascript',
      headers: { 'access-control-allow-origin': '*' },
    });
  });

  await page.goto(page_url);
  await page.waitForSelector('.graphiql-container', { timeout: 20_000 });
  check('the page loads its pinned files and no other', loaded.length === 4 && foreign.length === 0, [...loaded, ...foreign].join(' '));
  const opening = await page.evaluate(() => document.querySelector('.graphiql-query-editor .CodeMirror').CodeMirror.getValue());
  check("it opens with the README's query", opening.includes('query CustomersAndSubscriptions'), opening);
  const headers = '.graphiql-editor-tool .CodeMirror >> visible=true';
  await page.waitForSelector(headers);
  const headerText = await page.evaluate(() => [...document.querySelectorAll('.graphiql-editor-tool .CodeMirror')].map((editor) => editor.CodeMirror.getValue()).join());
  check('the header editor has a place for the token', headerText.includes('"Authorization": "Bearer "'), headerText);

  await page.click('.graphiql-execute-button');
  await page.waitForFunction(() => document.querySelector('.result-window')?.textContent.includes('UNAUTHENTICATED'), null, { timeout: 10_000 });
  check('without the token the query is rejected as UNAUTHENTICATED', true);
  const unexpected = consoleErrors.splice(0).filter((text) => !text.includes('401'));
  check('there is no other error in the console', unexpected.length === 0, unexpected.join('\n'));

  // Enter the token in the header editor.
  await page.click(headers);
  await page.keyboard.press('Control+A');
  await page.keyboard.press('Delete');
  await page.keyboard.insertText(JSON.stringify({ Authorization: `Bearer ${token}` }));
  await page.click('.graphiql-execute-button');
  await page.waitForFunction(() => document.querySelector('.result-window')?.textContent.includes('"customerId"'), null, { timeout: 10_000 });
  const rows = await page.evaluate(() => document.querySelector('.result-window .CodeMirror').CodeMirror.getValue());
  const { customers } = JSON.parse(rows).data;
  check('with the token the query shows rows', customers.nodes.length > 0 && customers.totalCount > 0, rows.slice(0, 200));

  await page.click('button[aria-label="Re-fetch GraphQL schema"]');
  await page.click('button[aria-label="Show Documentation Explorer"]');
  await page.waitForSelector('.graphiql-doc-explorer >> text=Query', { timeout: 10_000 });
  check('the schema is documented on the page', true);
  check('there is no error in the console', consoleErrors.length === 0, consoleErrors.join('\n'));
  const stored = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
  check('neither the token nor the query is stored', !stored.includes(token) && !stored.includes('customers'), stored);
  await page.waitForTimeout(500);
  await page.screenshot({ path: screenshot });
} catch (error) {
  check('the test completes', false, String(error));
} finally {
  await browser.close();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
