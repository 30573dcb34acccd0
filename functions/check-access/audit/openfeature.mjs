// OpenFeature's SDKs with their OFREP providers, unmodified, against a running replica.
//
//   REPLICA_URL=http://127.0.0.1:8080 API_TOKEN=local-token WORLD=world.json node openfeature.mjs
//
// WORLD is what edge.mjs wrote: checks with the decisions of /check-access, which flags have to be. Exits with 1 on a
// difference.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
import { OpenFeature } from '@openfeature/server-sdk';
import { OpenFeature as WebFeature } from '@openfeature/web-sdk';

const url = process.env.REPLICA_URL ?? 'http://127.0.0.1:8080';
const token = process.env.API_TOKEN ?? 'local-token';
const checks = JSON.parse(readFileSync(process.env.WORLD, 'utf8'));
const headers = [['X-API-KEY', token]];

await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: url, headers }));
const server = OpenFeature.getClient();
let [granted, numbers] = [0, 0];
for (const { request, decision } of checks) {
  const { customerId, featureId, ...attributes } = request;
  const context = { targetingKey: customerId, ...attributes };
  // The default is never the answer.
  const details = await server.getBooleanDetails(featureId, !decision.hasAccess, context);
  const told = `${JSON.stringify(request)}: ${JSON.stringify(details)} beside ${JSON.stringify(decision)}`;
  assert.equal(details.value, decision.hasAccess, told);
  assert.equal(details.variant, decision.accessDeniedReason ?? 'granted', told);
  granted += details.value ? 1 : 0;
  if (decision.usageLimit !== null && !decision.hasUnlimitedUsage) {
    assert.equal(await server.getNumberValue(`${featureId}.limit`, -1, context), decision.usageLimit, told);
    numbers++;
  }
  if (decision.currentUsage !== null) {
    assert.equal(await server.getNumberValue(`${featureId}.usage`, -1, context), decision.currentUsage, told);
    numbers++;
  }
}
const values = checks.find(({ decision }) => decision.enumValues?.length > 0);
const { customerId, resourceId } = values.request;
assert.deepEqual(await server.getObjectValue('enum.values', [], { targetingKey: customerId, resourceId }), values.decision.enumValues);
const missing = await server.getBooleanDetails('boolean', false, {});
assert.deepEqual([missing.value, missing.errorCode], [false, 'TARGETING_KEY_MISSING']);
const unknown = await server.getNumberDetails('unknown.limit', 7, { targetingKey: customerId });
assert.deepEqual([unknown.value, unknown.errorCode], [7, 'FLAG_NOT_FOUND']);

// The web provider reads all flags at once, and asks again with the ETag that it was given.
const statuses = [];
const fetchImplementation = async (...request) => {
  const response = await fetch(...request);
  statuses.push(response.status);
  return response;
};
await WebFeature.setContext({ targetingKey: customerId, ...(resourceId && { resourceId }) });
const provider = new OFREPWebProvider({ baseUrl: url, headers, pollInterval: 300, fetchImplementation });
await WebFeature.setProviderAndWait(provider);
const web = WebFeature.getClient();
let seen = 0;
for (const { request, decision } of checks) {
  const asksNothing = !request.requestedUsage && !(request.requestedValues ?? []).length;
  if (request.customerId !== customerId || request.resourceId !== resourceId || !asksNothing) continue;
  assert.equal(web.getBooleanValue(request.featureId, false), decision.hasAccess, JSON.stringify(request));
  seen++;
}
await new Promise((resolve) => setTimeout(resolve, 1_000));
await WebFeature.close();
await OpenFeature.close();
assert.ok(seen > 0 && statuses[0] === 200 && statuses.includes(304), JSON.stringify({ seen, statuses }));
console.log(`OpenFeature: ${checks.length} decisions as /check-access's (${granted} granted), ${numbers} limits and usages, ` +
  `${seen} of the web provider, which was answered ${statuses.join(', ')}`);
