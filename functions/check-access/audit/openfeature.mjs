// Runs OpenFeature's SDKs with their OFREP providers, unmodified, against a running replica, and compares the flags with the
// decisions of /check-access.
//
//   REPLICA_URL=http://127.0.0.1:8080 API_TOKEN=local-token WORLD=world.json node openfeature.mjs
//
// WORLD is the file that edge.mjs writes: checks with their decisions. Exits with 1 on a difference.
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
  // The default is the wrong value, so it can't hide a failed evaluation.
  const details = await server.getBooleanDetails(featureId, !decision.hasAccess, context);
  const message = `${JSON.stringify(request)}: SDK ${JSON.stringify(details)}, replica ${JSON.stringify(decision)}`;
  assert.equal(details.value, decision.hasAccess, message);
  assert.equal(details.variant, decision.accessDeniedReason ?? 'granted', message);
  granted += details.value ? 1 : 0;
  if (decision.usageLimit !== null && !decision.hasUnlimitedUsage) {
    assert.equal(await server.getNumberValue(`${featureId}.limit`, -1, context), decision.usageLimit, message);
    numbers++;
  }
  if (decision.currentUsage !== null) {
    assert.equal(await server.getNumberValue(`${featureId}.usage`, -1, context), decision.currentUsage, message);
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

// The web provider reads all flags in one request, and polls with the ETag.
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
let webFlags = 0;
for (const { request, decision } of checks) {
  const requestsNothing = !request.requestedUsage && !(request.requestedValues ?? []).length;
  if (request.customerId !== customerId || request.resourceId !== resourceId || !requestsNothing) continue;
  assert.equal(web.getBooleanValue(request.featureId, false), decision.hasAccess, JSON.stringify(request));
  webFlags++;
}
await new Promise((resolve) => setTimeout(resolve, 1_000));
await WebFeature.close();
await OpenFeature.close();
assert.ok(webFlags > 0 && statuses[0] === 200 && statuses.includes(304), JSON.stringify({ webFlags, statuses }));
console.log(`OpenFeature: ${checks.length} decisions equal /check-access's (${granted} granted), ${numbers} limits and usages, ` +
  `${webFlags} flags of the web provider, whose statuses were ${statuses.join(', ')}`);
