/** Links into the console over HTTP (contract 10.15): the operator, or a platform in its name, makes one for a customer's administrator. */
import { z } from 'zod';
import { ApiFailure } from '../../domain/errors.ts';
import {
  CONSOLE_LINK_MAX_SECONDS,
  CONSOLE_LINK_MIN_SECONDS,
  CONSOLE_LINK_SECONDS,
  CONSOLE_LINKS_MAX_PER_CUSTOMER,
  CONSOLE_SESSION_MS,
  SECOND_MS,
} from '../../domain/limits.ts';
import { logAudit } from '../../operations/audit-trail.ts';
import { hashConsoleSecret, randomAlphanumerics } from '../../signing/secrets.ts';
import { insertConsoleLink } from '../../storage/console.ts';
import { operatorAudit } from '../kit/audit.ts';
import { addRouteWithBody } from '../kit/body.ts';
import { timestamp } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import { EXAMPLE } from '../kit/examples.ts';
import { notFound, withCustomer } from '../kit/load.ts';
import { problems } from '../kit/problems.ts';
import { declareOwnRoute, forOperator } from '../kit/route.ts';
import { customerPath, jsonContent, time } from '../kit/schemas.ts';

/** What we make has a prefix, by which secret scanners know it. */
const CODE_PREFIX = 'iwh_link_';
/** Alphanumerics after the prefix; 248 bits. */
const CODE_LENGTH = 48;
const SESSION_SECONDS = CONSOLE_SESSION_MS / SECOND_MS;

const NewConsoleLink = z
  .object(
    {
      readOnly: z
        .boolean({ error: 'must be true or false' })
        .optional()
        .transform((value) => value ?? false)
        .meta({ description: 'whether the session of the link can change nothing; false without it' }),
      expiresInSeconds: z
        .number({ error: 'must be a number of seconds' })
        .int({ error: 'must be a whole number of seconds' })
        .min(CONSOLE_LINK_MIN_SECONDS, { error: `must be at least ${CONSOLE_LINK_MIN_SECONDS}` })
        .max(CONSOLE_LINK_MAX_SECONDS, { error: `must be at most ${CONSOLE_LINK_MAX_SECONDS}` })
        .optional()
        .transform((seconds) => seconds ?? CONSOLE_LINK_SECONDS)
        .meta({ description: 'how long the link can be used; 3600 without it' }),
    },
    { error: 'must be a JSON object' },
  )
  .meta({ id: 'NewConsoleLink' });

const ConsoleLink = z
  .object({
    url: z.string().meta({ description: 'only this answer shows it; it works once' }),
    readOnly: z.boolean(),
    expiresAt: time,
    sessionEndsAfterSeconds: z.literal(SESSION_SECONDS).meta({ type: 'integer', enum: [SESSION_SECONDS] }),
  })
  .meta({ id: 'ConsoleLink' });

const route = declareOwnRoute({
  method: 'post',
  path: '/customers/{cid}/console-links',
  operationId: 'createConsoleLink',
  summary: 'Create a link into the console',
  description: 'The browser that opens the link first is signed in as an administrator of the customer.',
  ...forOperator(),
  middleware: withCustomer,
  request: {
    params: customerPath,
    body: { content: jsonContent(NewConsoleLink, { readOnly: true }), required: false },
  },
  responses: {
    201: {
      description: 'The link',
      content: jsonContent(ConsoleLink, {
        url: `https://webhooks.example.com/console/#/sign-in/${CODE_PREFIX}${'0123456789abcdef'.repeat(3)}`,
        readOnly: true,
        expiresAt: EXAMPLE.late,
        sessionEndsAfterSeconds: SESSION_SECONDS,
      }),
    },
    ...problems(400, 403, 404, 409, 413, 415),
  },
});

export function addConsoleLinks(door: Door): void {
  addRouteWithBody(
    door,
    route,
    async (c) => {
      const { config, db } = c.get('services');
      const { readOnly, expiresInSeconds } = c.req.valid('json');
      const customerId = c.get('customer').id;
      const code = `${CODE_PREFIX}${randomAlphanumerics(CODE_LENGTH)}`;
      const createdAt = Date.now();
      const expiresAt = createdAt + expiresInSeconds * SECOND_MS;
      const codeHash = await hashConsoleSecret('code', code);
      const link = { id: crypto.randomUUID(), codeHash, customerId, readOnly, createdAt, expiresAt };
      const audit = operatorAudit(c, 'console-link-created', { customerId, target: link.id });
      switch (await insertConsoleLink(db, link, audit)) {
        case 'created':
          break;
        case 'no customer':
          throw notFound('Customer'); // erased while the call was under way
        case 'too many':
          throw new ApiFailure({
            code: 'conflict',
            details: `Too many links: at most ${CONSOLE_LINKS_MAX_PER_CUSTOMER} that are not used; wait until some end`,
          });
      }
      logAudit(audit);
      // The code is in the fragment, which no browser sends: it gets into no log on the way.
      const url = `${config.baseUrl}/console/#/sign-in/${code}`;
      const answer = { url, readOnly, expiresAt: timestamp(expiresAt) };
      return c.json({ ...answer, sessionEndsAfterSeconds: SESSION_SECONDS as 28800 }, 201);
    },
    // A media type announces a body: a call that has lost its body must not give more than was asked for.
    { emptyIsObject: 'without media type' },
  );
}
