/** `GET /openapi.json` (contract 10.5): OpenAPI 3.1, from the schemas that validate. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import type { AppEnv } from '../kit/context.ts';
import { jsonContent } from '../kit/links.ts';

export function addOpenApi(app: OpenAPIHono<AppEnv>): void {
  app.openAPIRegistry.registerComponent('securitySchemes', 'client', {
    type: 'http',
    scheme: 'basic',
    description: 'client id and secret of a configuration client',
  });
  app.openAPIRegistry.registerComponent('securitySchemes', 'token', {
    type: 'http',
    scheme: 'bearer',
    description: 'an access token of /{cid}/login/token',
  });
  app.openAPIRegistry.registerComponent('securitySchemes', 'operator', {
    type: 'http',
    scheme: 'bearer',
    description: 'OPERATOR_TOKEN',
  });
  app.openAPIRegistry.registerPath({
    method: 'get',
    path: '/openapi.json',
    summary: 'This document',
    tags: ['Operation'],
    responses: {
      200: { description: 'OpenAPI 3.1', content: jsonContent(z.record(z.string(), z.unknown())) },
    },
  });
  app.doc31('/openapi.json', (c) => ({
    openapi: '3.1.0',
    info: {
      title: 'identity-webhooks',
      version: '3.0',
      description:
        'Webhooks v3 for identity platforms: subscriptions, signed security event tokens, retries and redelivery.',
    },
    servers: [{ url: c.get('services').config.baseUrl }],
  }));
}
