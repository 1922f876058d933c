/** `GET /openapi.json` (contract 10.5): OpenAPI 3.1, from the schemas that validate. */
import { z } from 'zod';
import { BoundedCache } from '../../bounded-cache.ts';
import { addComponents, makeDocument } from '../kit/document.ts';
import type { Door } from '../kit/door.ts';
import { problems } from '../kit/problems.ts';
import { declareRoute, forAnybody } from '../kit/route.ts';
import { cacheControl, jsonContent } from '../kit/schemas.ts';

/** The document changes with a deployment only. */
const CACHE_CONTROL = 'public, max-age=300';

/** @param api all doors of the API; `mountDoors` fills it before the first request */
export function addOpenApi(door: Door, api: Door): void {
  addComponents(door);
  door.openAPIRegistry.registerPath(
    declareRoute({
      method: 'get',
      path: '/openapi.json',
      operationId: 'getOpenApi',
      summary: 'This document',
      ...forAnybody('Operation'),
      responses: {
        200: {
          description: 'OpenAPI 3.1',
          headers: cacheControl(CACHE_CONTROL),
          content: jsonContent(z.record(z.string(), z.unknown()), { openapi: '3.1.0' }),
        },
        ...problems(),
      },
    }),
  );
  /** The document as text, by `BASE_URL`: making it takes tens of milliseconds, and anybody may ask for it. */
  const made = new BoundedCache<string>(2);
  door.get('/openapi.json', (c) => {
    const { baseUrl } = c.get('services').config;
    const text = made.get(baseUrl) ?? JSON.stringify(makeDocument(api, baseUrl));
    made.set(baseUrl, text);
    c.header('cache-control', CACHE_CONTROL);
    return c.body(text, 200, { 'content-type': 'application/json' });
  });
}
