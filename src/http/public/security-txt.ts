/** `GET /.well-known/security.txt` (contract 10.5, RFC 9116): where to report a fault. */
import { z } from 'zod';
import { ApiFailure } from '../../domain/errors.ts';
import type { Door } from '../kit/door.ts';
import { problems } from '../kit/problems.ts';
import { declareRoute, forAnybody } from '../kit/route.ts';

/** From each answer on. RFC 9116 asks for less than a year. */
const VALID_MS = 180 * 86_400_000;

const route = declareRoute({
  method: 'get',
  path: '/.well-known/security.txt',
  operationId: 'getSecurityTxt',
  summary: 'Where to report a fault',
  ...forAnybody('Operation'),
  responses: {
    200: {
      description: 'security.txt of RFC 9116',
      content: {
        'text/plain': {
          schema: z.string(),
          example: 'Contact: mailto:security@example.com\nExpires: 2026-07-30T12:00:00Z\n',
        },
      },
    },
    ...problems(404),
  },
});

export function addSecurityTxt(door: Door): void {
  door.openapi(route, (c) => {
    const { baseUrl, securityContact } = c.get('services').config;
    if (securityContact === undefined) throw new ApiFailure({ code: 'not_found', what: 'Route' });
    // Without milliseconds: some readers refuse them.
    const expires = new Date(Date.now() + VALID_MS).toISOString().replace(/\.\d+Z$/, 'Z');
    const lines = [
      `Contact: ${securityContact}`,
      `Expires: ${expires}`,
      `Canonical: ${baseUrl}${route.path}`,
    ];
    return c.text(`${lines.join('\n')}\n`, 200);
  });
}
