// Random rows, reproducible by their seed, and requests to an endpoint.

/** Mulberry32, a pseudo-random generator of numbers in [0, 1). */
export function generator(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const below = (count) => Math.floor(next() * count);
  return { next, below, chance: (probability) => next() < probability, pick: (values) => values[below(values.length)] };
}

const pad = (number) => String(number).padStart(3, '0');
const STATUSES = ['ACTIVE', 'CANCELED', 'EXPIRED', 'IN_TRIAL', 'NOT_STARTED', 'PAYMENT_PENDING'];

/** Sends customers and subscriptions to the webhook of a running stack. */
export async function fill(url, secret, random, customers) {
  const moment = () => new Date(Date.UTC(2026, 0, 1) + random.below(40) * 60_000 + random.below(3) * 10).toISOString();
  const maybe = (probability, value) => (random.chance(probability) ? value() : null);
  let sent = 0;
  const send = async (event) => {
    const body = JSON.stringify({ messageId: `message-${sent++}`, ...event });
    const headers = { 'content-type': 'application/json', 'stigg-webhooks-secret': secret };
    const response = await fetch(`${url}/webhook`, { method: 'POST', headers, body });
    if (response.status !== 200) throw new Error(`${response.status} for ${body}: ${await response.text()}`);
  };
  for (let n = 0; n < customers; n += 1) {
    const id = random.pick([`customer-${pad(n)}`, `customer-${pad(n)}`, `Customer ${pad(n)}`, `cüstomer/${pad(n)}`]);
    const customer = {
      id,
      name: maybe(0.8, () => random.pick(['Alder', 'alder', 'Birch', 'Cedar', 'Ö', '😀', '', 'Z'])),
      email: maybe(0.7, () => `${random.below(6)}@example.com`),
      billingId: maybe(0.5, () => `billing-${random.below(5)}`),
    };
    const timestamp = moment();
    // One in six has no creation event.
    await send({ type: random.chance(0.16) ? 'customer.updated' : 'customer.created', timestamp, ...customer });
    if (random.chance(0.5)) {
      const entitlements = [{ feature: { id: 'feature-a', featureType: 'BOOLEAN' } }];
      await send({ type: 'entitlements.updated', timestamp, entitlementsUpdatedAt: timestamp, customer, entitlements, resource: null });
    }
    for (let m = random.below(5); m > 0; m -= 1) {
      const plan = random.below(4);
      await send({
        type: random.chance(0.16) ? 'subscription.updated' : 'subscription.created',
        timestamp: moment(),
        id: `subscription-${pad(random.below(1000))}-${pad(n)}`,
        status: random.pick(STATUSES),
        startDate: moment(),
        endDate: maybe(0.5, moment),
        cancellationDate: maybe(0.3, moment),
        trialEndDate: maybe(0.3, moment),
        billingId: maybe(0.4, () => `billing-${random.below(5)}`),
        plan: { id: `plan-${plan}`, name: `Plan ${plan % 2}` },
        customer,
      });
    }
  }
}

/** Sends a request to a GraphQL endpoint. */
export async function sendQuery(url, body, token) {
  const headers = { 'content-type': 'application/json', accept: 'application/json' };
  if (token) headers.authorization = `Bearer ${token}`;
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${response.status}, no JSON: ${text.slice(0, 300)}`);
  }
}

const CUSTOMER = 'createdAt updatedAt customerId name email billingId entitlements';
const SUBSCRIPTION =
  'createdAt updatedAt subscriptionId customerId status planId planName billingId startDate endDate cancellationDate trialEndDate';

/** All rows of a stack, read with simple queries. */
export async function rows(url, token) {
  const read = async (list, fields) => {
    const nodes = [];
    for (let after = null, more = true; more; ) {
      const query = `query($after: Cursor) { ${list}(first: 50, after: $after) { nodes { ${fields} } pageInfo { hasNextPage endCursor } } }`;
      const answer = await sendQuery(url, { query, variables: { after } }, token);
      if (answer.errors) throw new Error(JSON.stringify(answer.errors));
      const page = answer.data[list];
      nodes.push(...page.nodes);
      more = page.pageInfo.hasNextPage;
      after = page.pageInfo.endCursor;
    }
    return nodes;
  };
  return { customers: await read('customers', CUSTOMER), subscriptions: await read('subscriptions', SUBSCRIPTION) };
}
