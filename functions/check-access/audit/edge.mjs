// Runs Stigg's Node.js SDK, unmodified, against a running replica, and compares its decisions with those of /check-access.
//
//   REPLICA_URL=http://127.0.0.1:8080 API_TOKEN=local-token WORLD=world.json node edge.mjs
//
// Exits with 1 on a difference that is not a known quirk of the SDK. Writes the checks with their decisions to the file
// WORLD, for the other scripts.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import sdk from '@stigg/node-server-sdk';
import { check as checkAccess, token, url, world } from './world.mjs';

const { Stigg } = sdk;

/** A class, since the SDK would merge a plain object's methods into the global console. */
class Silent {
  log() {}
  error() {}
  debug() {}
  info() {}
  warn() {}
}

/** The replica serves the Edge API. Stigg's other APIs get an address where nobody listens. */
const client = (apiKey) => Stigg.initialize({
  apiKey,
  baseEdgeUri: url,
  baseUri: 'http://127.0.0.1:1',
  realtimeUpdatesEnabled: false,
  timeout: 2_000,
  logConfiguration: { logger: new Silent(), logLevel: 'error' },
});

/** Known differences. The SDK does not read why a list is empty. */
const QUIRKS = {
  'an empty list is CustomerNotFound': (sdk, replica) => sdk === 'CustomerNotFound' &&
    ['NoActiveSubscription', 'CustomerIsArchived', 'CustomerResourceNotFound'].includes(replica),
};

const counts = { decisions: 0, granted: 0, denied: 0 };
const quirks = Object.fromEntries(Object.keys(QUIRKS).map((name) => [name, 0]));

function compare(entitlement, { request, decision }, what) {
  const context = `${what} ${JSON.stringify(request)}: SDK ${JSON.stringify(entitlement)}, replica ${JSON.stringify(decision)}`;
  assert.equal(entitlement.hasAccess, decision.hasAccess, context);
  assert.ok(!entitlement.isFallback, context);
  counts.decisions++;
  counts[decision.hasAccess ? 'granted' : 'denied']++;
  const [ours, theirs] = [decision.accessDeniedReason ?? undefined, entitlement.accessDeniedReason ?? undefined];
  if (ours === theirs) return;
  const quirk = Object.keys(QUIRKS).find((name) => QUIRKS[name](theirs, ours));
  assert.ok(quirk, context);
  quirks[quirk]++;
}

const checks = await world();
if (process.env.WORLD) writeFileSync(process.env.WORLD, JSON.stringify(checks));

const stigg = client(token);
await stigg.waitForInitialization();
for (const check of checks) {
  const { customerId, resourceId, featureId, requestedUsage, requestedValues } = check.request;
  const query = { customerId, resourceId, featureId };
  if (featureId === 'later') {
    // A type that neither side knows: a number without a meter, and denied.
    compare(await stigg.getNumericEntitlement(query), check, 'getNumericEntitlement');
  } else if (featureId === 'boolean') {
    compare(await stigg.getBooleanEntitlement(query), check, 'getBooleanEntitlement');
  } else if (featureId === 'enum') {
    compare(await stigg.getEnumEntitlement({ ...query, options: { requestedValues } }), check, 'getEnumEntitlement');
  } else if (featureId === 'number') {
    const entitlement = await stigg.getNumericEntitlement(query);
    compare(entitlement, check, 'getNumericEntitlement');
    if (check.decision.hasAccess) assert.equal(entitlement.value ?? null, check.decision.usageLimit);
  } else {
    const entitlement = await stigg.getMeteredEntitlement({ ...query, options: { requestedUsage } });
    compare(entitlement, check, 'getMeteredEntitlement');
    if (check.decision.currentUsage !== null) assert.equal(entitlement.currentUsage, check.decision.currentUsage);
  }
}

// Lists: each entitlement has the decision of a check without requested usage and values.
const scopes = new Map(checks.map(({ request: { customerId, resourceId } }) => [`${customerId} ${resourceId}`, { customerId, resourceId }]));
let listed = 0;
let subscriptions = 0;
for (const { customerId, resourceId } of scopes.values()) {
  for (const entitlement of await stigg.getEntitlements(customerId, resourceId)) {
    const request = { customerId, resourceId, featureId: entitlement.feature.id };
    compare(entitlement, { request, decision: await checkAccess(request) }, 'getEntitlements');
    listed++;
  }
  const active = await stigg.getActiveSubscriptionsList({ customerId, resourceId });
  for (const { customer, resource, status } of active) {
    assert.deepEqual([customer.customerId, resource?.resourceId], [customerId, resourceId]);
    assert.ok(['ACTIVE', 'IN_TRIAL'].includes(status));
  }
  if (resourceId) assert.deepEqual(await stigg.getActiveSubscriptionsList({ customerId, resourceId: [resourceId, 'x'] }), active);
  subscriptions += active.length;
}

// Calls that need Stigg fail with an error.
await assert.rejects(stigg.reportUsage({ customerId: 'c', featureId: 'metered', value: 1 }));
await assert.rejects(stigg.getPaywall(), /404|product catalog/);
await assert.rejects(stigg.getActiveSubscriptions({ customerId: 'c' }));
stigg.close();

// With a wrong key, the SDK does not initialize, and every getter returns its fallback.
const unauthorized = client('another-token');
await assert.rejects(unauthorized.waitForInitialization());
const fallback = { fallback: { hasAccess: true } };
for (const [getter, options, hasAccess] of [
  ['getBooleanEntitlement', {}, false], ['getBooleanEntitlement', fallback, true], ['getMeteredEntitlement', {}, false],
  ['getEnumEntitlement', {}, false], ['getNumericEntitlement', fallback, true],
]) {
  const entitlement = await unauthorized[getter]({ customerId: 'c', featureId: 'f', options });
  assert.deepEqual([entitlement.hasAccess, entitlement.isFallback], [hasAccess, true], getter);
}
unauthorized.close();

assert.ok(counts.granted > 100 && counts.denied > 100 && listed > 100 && subscriptions > 5, JSON.stringify({ counts, listed, subscriptions }));
console.log(`@stigg/node-server-sdk: ${counts.decisions} decisions equal /check-access's (${counts.granted} granted, ${listed} in lists), ` +
  `${subscriptions} subscriptions`);
Object.entries(quirks).forEach(([name, count]) => console.log(`  known quirk, ${count} times: ${name}`));
