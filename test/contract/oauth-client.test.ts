/** Runs an unmodified OAuth client library, strict about RFC 6749, against the token endpoint (contract 2). */
import { exports } from 'cloudflare:workers';
import * as oauth from 'oauth4webapi';
import { beforeAll, describe, expect, it } from 'vitest';
import { asOperator, BASE_URL, newCustomer, type TestCustomer } from '../support/world.ts';

const SCOPE = '*:webhooks/**';

/** Sends requests to the Worker instead of the network, by `http` because the tests have no TLS. */
const toTheWorker = {
  [oauth.customFetch]: (
    url: string,
    { method, headers, body, redirect }: oauth.CustomFetchOptions<string, oauth.ProtectedResourceRequestBody>,
  ) => exports.default.fetch(url, { method, headers, body: body ?? null, redirect }),
  [oauth.allowInsecureRequests]: true,
};

let customer: TestCustomer;
beforeAll(async () => {
  customer = await newCustomer();
});

async function getToken(clientId: string, secret: string, scope = SCOPE) {
  const server: oauth.AuthorizationServer = {
    issuer: `${BASE_URL}/${customer.id}`,
    token_endpoint: `${BASE_URL}/${customer.id}/login/token`,
  };
  const client: oauth.Client = { client_id: clientId };
  const authentication = oauth.ClientSecretBasic(secret);
  const parameters = new URLSearchParams({ scope });
  const response = await oauth.clientCredentialsGrantRequest(
    server,
    client,
    authentication,
    parameters,
    toTheWorker,
  );
  return await oauth.processClientCredentialsResponse(server, client, response);
}

describe('an OAuth client library', () => {
  it('an OAuth library gets a token by client credentials and calls the API with it', async () => {
    const token = await getToken(customer.clientId, customer.clientSecret);
    expect(token).toMatchObject({ token_type: 'bearer', expires_in: 3600, scope: SCOPE });
    const url = new URL(`${BASE_URL}/${customer.id}/webhooks/subscriptions`);
    const answer = await oauth.protectedResourceRequest(
      token.access_token,
      'GET',
      url,
      undefined,
      null,
      toTheWorker,
    );
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ total: 0 });
  });

  it('an OAuth library gets a token with credentials that it has to encode', async () => {
    const moved = {
      name: 'moved here',
      clientId: `moved-${crypto.randomUUID()}`,
      clientSecret: 'a+b/c%41=d-!e~f:&g-and-so-on-to-32',
    };
    const made = await asOperator('POST', `/customers/${customer.id}/clients`, moved);
    expect(made.status).toBe(201);
    expect((await getToken(moved.clientId, moved.clientSecret)).access_token).toMatch(/./);
  });

  it('an OAuth library reads the answer to a wrong secret as a 401 challenge', async () => {
    const refused = await getToken(customer.clientId, 'wrong').catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(oauth.WWWAuthenticateChallengeError);
    expect(refused).toMatchObject({ status: 401, cause: [{ scheme: 'basic' }] });
  });

  it('an OAuth library reads the answer to a refused scope as a 400 invalid_scope', async () => {
    const refused = await getToken(customer.clientId, customer.clientSecret, '*:other/**').catch(
      (error: unknown) => error,
    );
    expect(refused).toBeInstanceOf(oauth.ResponseBodyError);
    expect(refused).toMatchObject({ status: 400, error: 'invalid_scope' });
  });
});
