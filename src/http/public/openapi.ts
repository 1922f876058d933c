/** `GET /openapi.json` (contract 10.5): OpenAPI 3.1, from the schemas that validate. */
import { z } from 'zod';
import { BoundedCache } from '../../bounded-cache.ts';
import type { Door } from '../kit/door.ts';
import { jsonContent } from '../kit/schemas.ts';

/** The document changes with a deployment only. */
const CACHE_SECONDS = 300;

/** @param api all doors of the API; `mountDoors` fills it before the first request */
export function addOpenApi(door: Door, api: Door): void {
  door.openAPIRegistry.registerComponent('securitySchemes', 'client', {
    type: 'http',
    scheme: 'basic',
    description: 'client id and secret of a configuration client',
  });
  door.openAPIRegistry.registerComponent('securitySchemes', 'token', {
    type: 'http',
    scheme: 'bearer',
    description: 'an access token of /{cid}/login/token',
  });
  door.openAPIRegistry.registerComponent('securitySchemes', 'operator', {
    type: 'http',
    scheme: 'bearer',
    description: 'the token that OPERATOR_TOKEN configures',
  });
  door.openAPIRegistry.registerPath({
    method: 'get',
    path: '/openapi.json',
    summary: 'This document',
    tags: ['Operation'],
    responses: {
      200: { description: 'OpenAPI 3.1', content: jsonContent(z.record(z.string(), z.unknown())) },
    },
  });
  /** The document as text, by `BASE_URL`: making it takes tens of milliseconds, and anybody may ask for it. */
  const made = new BoundedCache<string>(2);
  door.get('/openapi.json', (c) => {
    const { baseUrl } = c.get('services').config;
    const text = made.get(baseUrl) ?? JSON.stringify(makeDocument(api, baseUrl));
    made.set(baseUrl, text);
    c.header('cache-control', `public, max-age=${CACHE_SECONDS}`);
    return c.body(text, 200, { 'content-type': 'application/json' });
  });
}

function makeDocument(api: Door, url: string): object {
  return api.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'identity-webhooks',
      version: '3.0',
      description:
        'Webhooks v3 for identity platforms: subscriptions, signed security event tokens, retries and redelivery.',
    },
    servers: [{ url }],
  });
}
