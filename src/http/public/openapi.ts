/** `GET /openapi.json` (contract 10.5): OpenAPI 3.1, from the schemas that validate. */
import { z } from 'zod';
import type { Door } from '../kit/door.ts';
import { jsonContent } from '../kit/schemas.ts';

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
  door.get('/openapi.json', (c) =>
    c.json(
      api.getOpenAPI31Document({
        openapi: '3.1.0',
        info: {
          title: 'identity-webhooks',
          version: '3.0',
          description:
            'Webhooks v3 for identity platforms: subscriptions, signed security event tokens, retries and redelivery.',
        },
        servers: [{ url: c.get('services').config.baseUrl }],
      }),
    ),
  );
}
