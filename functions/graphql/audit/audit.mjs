// Runs the GraphQL over HTTP audit of the package graphql-http against a running endpoint.
//
//   GRAPHQL_URL=http://127.0.0.1:8080/graphql API_TOKEN=local-token node audit.mjs
//
// Exits with 1 on an error or a warning.
import { serverAudits } from 'graphql-http';

const url = process.env.GRAPHQL_URL ?? 'http://127.0.0.1:8080/graphql';
const token = process.env.API_TOKEN ?? 'local-token';

/** Adds the token, which the audits do not send. */
function fetchWithToken(input, init = {}) {
  const headers = new Headers(init.headers);
  headers.set('authorization', `Bearer ${token}`);
  return fetch(input, { ...init, headers });
}

const results = [];
for (const audit of serverAudits({ url, fetchFn: fetchWithToken })) {
  results.push(await audit.fn());
}

for (const { id, name, status, reason } of results) {
  console.log(`${status.padEnd(6)} ${id}  ${name}${reason ? `\n       ${reason}` : ''}`);
}
const passed = results.filter(({ status }) => status === 'ok').length;
const count = (status) => results.filter((result) => result.status === status).length;
console.log(`${count('error')} errors, ${count('warn')} warnings, ${count('notice')} notices`);
console.log(`${passed} passed, ${results.length - passed} failed`);
process.exitCode = passed === results.length ? 0 : 1;
