// Runs Stigg's JavaScript SDK, unmodified, on a page in Chromium against a running replica. For the customer whose signature
// it has, its decisions must equal those of /check-access. It must get no data of other customers, or on other origins.
//
//   REPLICA_URL=http://127.0.0.1:8080 PAGE_ORIGIN=http://localhost:4173 CUSTOMER_KEY_SECRET=local-signing-secret \
//     WORLD=world.json CHROMIUM=/usr/bin/chromium node browser.mjs
//
// The replica must run with this secret and BROWSER_ORIGINS=$PAGE_ORIGIN. WORLD is the file that edge.mjs writes. Requests
// are not intercepted: Chromium sends the preflights and enforces the responses. Exits with 1 on a difference.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { chromium } from 'playwright-core';

const url = process.env.REPLICA_URL ?? 'http://127.0.0.1:8080';
const origin = new URL(process.env.PAGE_ORIGIN ?? 'http://localhost:4173');
const secret = process.env.CUSTOMER_KEY_SECRET ?? 'local-signing-secret';
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const checks = JSON.parse(readFileSync(process.env.WORLD, 'utf8'));
const sdk = readFileSync(new URL('node_modules/@stigg/js-client-sdk/dist/index.js', import.meta.url));

const sign = (customerId) => `HMAC-SHA256 ${customerId}:${createHmac('sha256', secret).update(customerId).digest('hex')}`;

/** Serves the page and the SDK on a port of localhost. */
const servePage = async (port) => {
  const server = createServer((request, response) => {
    const isSdk = request.url === '/sdk.js';
    response.setHeader('content-type', isSdk ? 'text/javascript; charset=utf-8' : 'text/html');
    response.end(isSdk ? sdk : '<!doctype html><script src="/sdk.js"></script>');
  });
  await new Promise((resolve, reject) => server.on('error', reject).listen(port, 'localhost', resolve));
  return server;
};

/** Runs on the page: the SDK's decisions for one customer. */
async function decide({ url, customerId, customerToken, resourceId, requests }) {
  class Silent {
    log() {}
    error() {}
    debug() {}
    info() {}
    warn() {}
  }
  const stigg = window.Stigg.default.initialize({
    apiKey: 'publishable-key',
    baseEdgeUri: `${url}/browser`,
    // Stigg's other APIs: an address where nobody listens.
    baseUri: 'http://127.0.0.1:1',
    logConfiguration: { logger: new Silent(), logLevel: 'error' },
  });
  await stigg.waitForInitialization();
  // If the customer is given at initialization, the SDK never finishes it.
  await stigg.setCustomerId(customerId, customerToken, resourceId);
  const getter = { boolean: 'getBooleanEntitlement', number: 'getNumericEntitlement', later: 'getNumericEntitlement' };
  const decisions = requests.map(({ featureId, requestedUsage }) => {
    const options = requestedUsage === undefined ? {} : { requestedUsage };
    const { hasAccess, isFallback, accessDeniedReason, currentUsage } =
      stigg[getter[featureId] ?? 'getMeteredEntitlement']({ featureId, resourceId, options });
    return { hasAccess, isFallback, accessDeniedReason, currentUsage };
  });
  return decisions;
}

/** Runs on the page: the part of a response that a script can read. */
async function read({ url, path, headers }) {
  try {
    const response = await fetch(`${url}${path}`, { headers });
    return { status: response.status, body: await response.json() };
  } catch (error) {
    return { error: error.name };
  }
}

const servers = [await servePage(Number(origin.port)), await servePage(0)];
const otherOrigin = `http://localhost:${servers[1].address().port}`;
const resolve = '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1';
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', resolve] });
try {
  const page = await browser.newPage();
  page.on('pageerror', (error) => console.log('the page: ' + error));
  await page.goto(origin.href);
  const scopes = new Map();
  for (const check of checks) {
    const { customerId, resourceId, featureId } = check.request;
    // The SDK has no getter for lists of values. A header can't contain a non-ASCII id.
    if (featureId === 'enum' || /[^ -~]/.test(customerId)) continue;
    const key = JSON.stringify([customerId, resourceId]);
    scopes.set(key, [...(scopes.get(key) ?? []), check]);
  }
  const counts = { decisions: 0, granted: 0, quirks: 0 };
  for (const [key, scopeChecks] of scopes) {
    const [customerId, resourceId] = JSON.parse(key);
    const requests = scopeChecks.map(({ request }) => request);
    const decisions = await page.evaluate(decide, { url, customerId, customerToken: sign(customerId), resourceId, requests });
    decisions.forEach((sdkDecision, index) => {
      const { request, decision } = scopeChecks[index];
      const context = `${JSON.stringify(request)}: SDK ${JSON.stringify(sdkDecision)}, replica ${JSON.stringify(decision)}`;
      assert.equal(sdkDecision.hasAccess, decision.hasAccess, context);
      assert.ok(!sdkDecision.isFallback, context);
      counts.decisions++;
      counts.granted += sdkDecision.hasAccess ? 1 : 0;
      const [ours, theirs] = [decision.accessDeniedReason ?? undefined, sdkDecision.accessDeniedReason ?? undefined];
      if (ours === theirs) return;
      const unknownToSdk = ['CustomerNotFound', 'NoActiveSubscription', 'CustomerIsArchived', 'CustomerResourceNotFound',
        'InsufficientCredits', 'Unknown'];
      assert.ok(theirs === 'NoFeatureEntitlementInSubscription' && unknownToSdk.includes(ours), context);
      counts.quirks++;
    });
  }

  // A customer with access gets none without its signature, or with another customer's.
  const granted = [...scopes.values()].map((scopeChecks) => scopeChecks.filter(({ decision }) => decision.hasAccess)).find((all) => all.length > 0);
  const { customerId, resourceId } = granted[0].request;
  const requests = granted.map(({ request }) => request);
  for (const customerToken of [undefined, sign('another'), sign('another').replace('another', customerId), 'local-token']) {
    const decisions = await page.evaluate(decide, { url, customerId, customerToken, resourceId, requests });
    assert.ok(decisions.every(({ hasAccess }) => !hasAccess), `${customerToken}: ${JSON.stringify(decisions)}`);
  }

  const path = `/browser/v1/c/${customerId}/entitlements.json`;
  const headers = { 'x-customer-key': sign(customerId) };
  const answer = await page.evaluate(read, { url, path, headers });
  assert.equal(answer.status, 200);
  assert.equal((await page.evaluate(read, { url, path, headers: { 'x-customer-key': sign('another') } })).status, 403);
  // Pages can't read the routes for servers, even with a token. Other origins can't read the routes for browsers.
  const byToken = { authorization: 'Bearer local-token' };
  assert.deepEqual(await page.evaluate(read, { url, path: `/v1/c/${customerId}/entitlements.json`, headers: byToken }), { error: 'TypeError' });
  const other = await browser.newPage();
  await other.goto(otherOrigin);
  assert.deepEqual(await other.evaluate(read, { url, path, headers }), { error: 'TypeError' });
  assert.ok(counts.decisions > 200 && counts.granted > 40, JSON.stringify(counts));
  console.log(`@stigg/js-client-sdk in Chromium: ${counts.decisions} decisions equal /check-access's (${counts.granted} granted, ` +
    `${scopes.size} scopes); no data without the customer's signature, or on another origin`);
  console.log(`  known quirk, ${counts.quirks} times: the SDK denies features that are not in the list with NoFeatureEntitlementInSubscription`);
} finally {
  await browser.close();
  servers.forEach((server) => server.close());
}
