/** `POST /console/token` (contract 10.15): an access token for the page, which keeps it in memory. The API takes nothing else. */
import { z } from 'zod';
import { OPERATOR_SCOPE, SESSION_KINDS } from '../../domain/console.ts';
import { ApiFailure } from '../../domain/errors.ts';
import { CONSOLE_BODY_MAX_BYTES, CONSOLE_TOKEN_LIFETIME_SECONDS, SECOND_MS } from '../../domain/limits.ts';
import { issueAccessToken } from '../../signing/access-token.ts';
import { addRouteWithBody } from '../kit/body.ts';
import { sessionOfCookie } from '../kit/console-sessions.ts';
import type { Door } from '../kit/door.ts';
import { problems } from '../kit/problems.ts';
import { declareOwnRoute, forConsole } from '../kit/route.ts';
import { cacheControl, jsonContent } from '../kit/schemas.ts';

const TokenRequest = z
  .object(
    { kind: z.enum(SESSION_KINDS, { error: 'must be customer or operator' }) },
    { error: 'must be a JSON object' },
  )
  .meta({ id: 'ConsoleTokenRequest' });

const TokenAnswer = z
  .object({
    access_token: z.string().max(255),
    token_type: z.literal('Bearer'),
    expires_in: z
      .number()
      .int()
      .min(1)
      .max(CONSOLE_TOKEN_LIFETIME_SECONDS)
      .meta({ description: 'seconds; fewer than 600 when the session ends before' }),
    scope: z.string(),
  })
  .meta({ id: 'ConsoleToken' });

const route = declareOwnRoute({
  method: 'post',
  path: '/token',
  operationId: 'createConsoleToken',
  summary: 'Get an access token for the page',
  description: "A customer's token works on the calls of that customer, an operator's under `/operator`.",
  ...forConsole(),
  request: { body: { content: jsonContent(TokenRequest, { kind: 'customer' }), required: true } },
  responses: {
    200: {
      description: 'An access token',
      headers: cacheControl('no-store'),
      content: jsonContent(TokenAnswer, {
        access_token: 'iwt…',
        token_type: 'Bearer',
        expires_in: CONSOLE_TOKEN_LIFETIME_SECONDS,
        scope: '*:webhooks/**',
      }),
    },
    ...problems(400, 403, 413, 415),
  },
});

export function addSessionToken(door: Door): void {
  addRouteWithBody(
    door,
    route,
    async (c) => {
      const session = await sessionOfCookie(c, c.req.valid('json').kind);
      if (session === undefined) throw new ApiFailure({ code: 'forbidden' });
      const now = Math.floor(Date.now() / SECOND_MS);
      const left = Math.floor(session.expiresAt / SECOND_MS) - now;
      if (left < 1) throw new ApiFailure({ code: 'forbidden' });
      const expiresIn = Math.min(CONSOLE_TOKEN_LIFETIME_SECONDS, left);
      const text = await issueAccessToken(c.get('services').config.tokenSigningKey, {
        kind: 'session',
        sessionId: session.id,
        expiresAt: now + expiresIn,
      });
      const scope = session.kind === 'operator' ? OPERATOR_SCOPE : session.scope;
      return c.json({ access_token: text, token_type: 'Bearer' as const, expires_in: expiresIn, scope }, 200);
    },
    { maxBytes: CONSOLE_BODY_MAX_BYTES },
  );
}
