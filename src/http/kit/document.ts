/** The OpenAPI document: what is said once for all routes, and the parts that no route declares. */
import type { Door } from './door.ts';
import { EXAMPLE } from './examples.ts';
import { PROBLEM_SCHEMAS, problemAnswers } from './problems.ts';
import { TAGS } from './route.ts';

/** Headers of every answer (contract 8). */
const HEADERS = {
  'X-Request-Id': {
    component: 'RequestId',
    header: {
      description: 'names the request in the log of the service',
      required: true,
      schema: { type: 'string', format: 'uuid' },
      example: EXAMPLE.request,
    },
  },
  'X-Caller-Request-Id': {
    component: 'CallerRequestId',
    header: {
      description: 'the `X-Request-Id` of the request, if it has 1 to 255 of A-Z a-z 0-9 _ - =',
      schema: { type: 'string' },
      example: 'ticket-7',
    },
  },
} as const;

const EVERY_ANSWER = Object.fromEntries(
  Object.entries(HEADERS).map(([name, { component }]) => [
    name,
    { $ref: `#/components/headers/${component}` },
  ]),
);

/** Registers the security schemes, and the answers and headers to which all routes refer. */
export function addComponents({ openAPIRegistry: registry }: Door): void {
  registry.registerComponent('securitySchemes', 'client', {
    type: 'http',
    scheme: 'basic',
    description: 'client id and secret of a configuration client',
  });
  registry.registerComponent('securitySchemes', 'token', {
    type: 'http',
    scheme: 'bearer',
    description: 'an access token of /{cid}/login/token',
  });
  registry.registerComponent('securitySchemes', 'operator', {
    type: 'http',
    scheme: 'bearer',
    description: 'the token that OPERATOR_TOKEN configures',
  });
  registry.registerComponent('securitySchemes', 'console', {
    type: 'apiKey',
    in: 'cookie',
    name: '__Host-iwh-console',
    description: 'a session of the console; one of the operator has the cookie __Host-iwh-operator',
  });
  for (const { component, header } of Object.values(HEADERS))
    registry.registerComponent('headers', component, header);
  for (const [name, schema] of Object.entries(PROBLEM_SCHEMAS)) registry.register(name, schema);
  for (const { name, answer } of problemAnswers()) {
    const headers = { ...EVERY_ANSWER, ...('headers' in answer ? answer.headers : {}) };
    registry.registerComponent('responses', name, { ...answer, headers });
  }
}

/**
 * The document as plain data: schemas, parameters and answers of all routes.
 * @param api all doors of the API
 * @param baseUrl the address of the server
 */
export function makeDocument(api: Door, baseUrl: string): object {
  const document = api.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'identity-webhooks',
      version: '3.0',
      description:
        'Subscriptions, signed security event tokens (RFC 8417), retries and redelivery. A client gets an access token with its id and secret and sends it with every management call; `webhooks` shows what a listener gets. Error bodies name every fault at once. Links are paths.',
      license: { name: 'Apache License 2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    servers: [{ url: baseUrl }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
  });
  for (const { responses } of operationsOf(document.paths)) {
    for (const response of Object.values(responses ?? {})) {
      if (!('$ref' in response)) response.headers = { ...EVERY_ANSWER, ...response.headers };
    }
  }
  // The library makes paths of the names.
  const webhooks = Object.entries(document.webhooks ?? {});
  return { ...document, webhooks: Object.fromEntries(webhooks.map(([name, item]) => [name.slice(1), item])) };
}

interface Operation {
  responses?: Record<string, { headers?: object; $ref?: string }>;
}

function operationsOf(paths: object = {}): Operation[] {
  return Object.values(paths).flatMap((item: object) => Object.values(item) as Operation[]);
}
