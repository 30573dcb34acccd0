// Delivers random events of customers to a running replica, and returns checks with their decisions.

export const url = process.env.REPLICA_URL ?? 'http://127.0.0.1:8080';
export const token = process.env.API_TOKEN ?? 'local-token';
const secret = process.env.STIGG_WEBHOOK_SECRET ?? 'local-secret';

const FEATURES = ['boolean', 'enum', 'number', 'metered', 'f/num', 'credit paid', 'later', 'é'];
const RESOURCES = [undefined, 'site 1', 'unknown'];
const HOUR = 3_600_000;

/** The generator mulberry32. The same seed gives the same events. */
function random(seed) {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (count) => Math.floor(next() * count);
  return { below, pick: (values) => values[below(values.length)], chance: (part) => next() < part };
}

function entitlement(id, { below, pick, chance }) {
  const type = { boolean: 'BOOLEAN', enum: 'ENUM', later: 'SOMETHING_LATER' }[id] ?? 'NUMBER';
  const isMetered = type === 'NUMBER' && id !== 'number';
  const end = pick([null, Date.now() - 30 * HOUR, Date.now() + 30 * HOUR]);
  const isPaid = id === 'credit paid';
  return {
    feature: {
      id, name: chance(0.8) ? `The feature ${id}` : null, featureType: type,
      meterType: isMetered ? pick(['INCREMENTAL', 'FLUCTUATING', 'Incremental']) : pick([null, 'None']),
      unit: 'unit', units: 'units', status: pick(['NEW', 'ACTIVE']),
    },
    usageLimit: isPaid ? pick([null, null, 3]) : type === 'NUMBER' ? pick([null, 0, 1, 3, 5, 2.5]) : null,
    hasUnlimitedUsage: isMetered && chance(0.15),
    hasSoftLimit: chance(0.15),
    currentUsage: isMetered ? pick([null, 0, 1, 3, 4, 2.5]) : null,
    usagePeriodAnchor: end && new Date(end - 10 * 24 * HOUR).toISOString(),
    usagePeriodStart: end && new Date(end - 24 * HOUR).toISOString(),
    usagePeriodEnd: end && new Date(end).toISOString(),
    resetPeriod: end && pick(['DAY', 'MONTH', 'WEEK', 'YEAR', 'HOUR']),
    resetPeriodConfiguration: end && { accordingTo: pick(['SubscriptionStart', 'StartOfTheMonth', 'EveryMonday', 'Later']) },
    enumValues: type === 'ENUM' ? pick([['a'], ['a', 'b'], []]) : null,
    creditBalance: isPaid
      ? { creditCurrency: { id: pick(['credits', 'tokens']), name: 'Credits' }, totalGranted: 10, remainingBalance: pick([0, 1, 10]) }
      : null,
  };
}

/** The events of one customer. They arrive in another order than that of their times. */
function history(customer, random) {
  const { below, pick, chance } = random;
  const events = [];
  const at = () => new Date(Date.now() - 100 * HOUR + below(90) * HOUR).toISOString();
  for (let count = below(7); count > 0; count--) {
    const kind = pick(['list', 'list', 'list', 'measured', 'measured', 'deleted', 'subscription', 'customer']);
    const resource = chance(0.4) ? { id: 'site 1' } : null;
    const own = { messageId: `${customer} ${count}`, timestamp: at(), customer: { id: customer, name: 'Name' }, resource };
    if (kind === 'list') {
      const entitlements = FEATURES.filter(() => chance(0.7)).map((id) => entitlement(id, random));
      events.push({ ...own, type: 'entitlements.updated', entitlementsUpdatedAt: own.timestamp,
        entitlements: chance(0.1) ? [] : entitlements });
    } else if (kind === 'measured') {
      events.push({ ...own, type: 'measurement.reported', feature: { id: pick(['metered', 'f/num']) }, currentUsage: below(6) });
    } else if (kind === 'deleted' && chance(0.5)) {
      events.push({ messageId: own.messageId, timestamp: own.timestamp, type: 'customer.deleted', id: customer });
    } else if (kind === 'subscription') {
      events.push({ ...own, type: 'subscription.created', id: `subscription ${customer} ${count}`,
        status: pick(['ACTIVE', 'IN_TRIAL', 'CANCELED']), startDate: own.timestamp, billingPeriod: 'MONTHLY',
        plan: { id: 'plan', name: 'Plan', pricingType: pick(['PAID', 'FREE', null]) }, addons: [{ id: 'addon', quantity: 1 }] });
    } else {
      events.push({ messageId: own.messageId, timestamp: own.timestamp, type: 'customer.created', id: customer, name: 'Name' });
    }
  }
  return events;
}

async function post(path, headers, body) {
  const response = await fetch(`${url}${path}`, {
    method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

/** The decision of `/check-access`. */
export async function check(request) {
  const { status, body } = await post('/check-access', { authorization: `Bearer ${token}` }, request);
  if (status !== (body.hasAccess ? 200 : 403)) throw new Error(`/check-access answered ${status}: ${JSON.stringify(body)}`);
  return body;
}

/** Delivers the events. Returns the checks for all features and resources, each with its decision. */
export async function world({ seed = 18, customers = 40 } = {}) {
  const generator = random(seed);
  const checks = [];
  for (let number = 0; number < customers; number++) {
    const customer = number % 4 === 0 ? `customer ${seed}/é.${number}` : `customer-${seed}-${number}`;
    for (const event of history(customer, generator)) {
      const { status, body } = await post('/webhook', { 'stigg-webhooks-secret': secret }, event);
      if (status !== 200) throw new Error(`${event.type} was answered with ${status}: ${JSON.stringify(body)}`);
    }
    for (const resourceId of RESOURCES) {
      for (const featureId of FEATURES) {
        const request = { customerId: customer, resourceId, featureId };
        if (['metered', 'f/num', 'credit paid', 'é'].includes(featureId)) request.requestedUsage = generator.pick([0, 1, 2, 0.5]);
        if (featureId === 'enum') request.requestedValues = generator.pick([[], ['a'], ['a', 'b'], ['c']]);
        checks.push({ request, decision: await check(request) });
      }
    }
  }
  return checks;
}
