/** What a listener gets and answers (contract 6), that of the operator's notices too (contract 10.16), as the `webhooks` of the OpenAPI document. The service has no route here. */
import { z } from '@hono/zod-openapi';
import { SHOWN_STATES } from '../../domain/proof.ts';
import type { Door } from '../kit/door.ts';
import { EXAMPLE } from '../kit/examples.ts';
import { declareRoute, forAnybody } from '../kit/route.ts';
import { id, jsonContent, time, wholeNumber } from '../kit/schemas.ts';

/** An event of 60,256 bytes, the other claims and the signature, in base64url. */
const TOKEN_MAX_CHARACTERS = 90_000;

/** The members of the `events` claim's object (contract 6.2), in the order of the token. */
const entity = {
  captureApplicationId: z.string(),
  captureClientId: z.string(),
  entityType: z.string(),
  globalSub: z.string(),
  id: id.meta({ description: 'event id' }),
  sub: id.meta({ description: "the profile's id" }),
  test: z
    .literal(true)
    .optional()
    .meta({ description: 'of an example alone, which the customer asked for: there is no such profile' }),
};

/** The members of a notice for the operator (contract 10.16). */
const notice = {
  customerId: id.meta({ description: 'whose subscription it is' }),
  id: id.meta({ description: 'event id' }),
  since: time.optional().meta({ description: 'since when the endpoint is in this state' }),
  state: z.enum(SHOWN_STATES).meta({ description: 'of the endpoint' }),
  subscriptionId: id,
  title: z.string().meta({ description: 'of the subscription' }),
  waiting: wholeNumber.meta({ description: 'deliveries that are not final' }),
};

function claimsOf<Type extends string, Content extends z.ZodType>(type: Type, content: Content) {
  return z.object({
    aud: z.array(z.string()).length(1).meta({ description: 'the endpoint, as configured' }),
    events: z.object({ [type]: content } as Record<Type, Content>),
    iat: z.number().int().meta({ description: 'when the event was accepted, in seconds' }),
    iss: z.string().meta({ description: '{BASE_URL}/{CID}/webhooks' }),
    jti: id.meta({ description: 'the same in every retry and redelivery: drop repeats by it' }),
    toe: z.number().int().meta({ description: 'when the event happened, in seconds' }),
  });
}

const NOTIFICATIONS = {
  entityCreated: {
    summary: 'A profile was created',
    claims: claimsOf('entityCreated', z.object(entity)).meta({ id: 'EntityCreatedClaims' }),
  },
  entityUpdated: {
    summary: 'A profile was changed',
    claims: claimsOf(
      'entityUpdated',
      z.object({
        attributes: z
          .array(z.string())
          .meta({ description: 'names of the changed attributes; never their values' }),
        ...entity,
      }),
    ).meta({ id: 'EntityUpdatedClaims' }),
  },
  entityDeleted: {
    summary: 'A profile was deleted',
    claims: claimsOf('entityDeleted', z.object(entity)).meta({ id: 'EntityDeletedClaims' }),
  },
  test: {
    summary: 'A test notification',
    claims: claimsOf('test', z.object({ id: id.meta({ description: 'event id' }) })).meta({
      id: 'TestClaims',
    }),
  },
  endpointFailing: {
    summary: 'A notice for the operator: an endpoint began to fail',
    claims: claimsOf('endpointFailing', z.object(notice)).meta({ id: 'EndpointFailingClaims' }),
  },
  endpointRecovered: {
    summary: 'A notice for the operator: an endpoint fails no longer',
    claims: claimsOf('endpointRecovered', z.object(notice)).meta({ id: 'EndpointRecoveredClaims' }),
  },
  eventsExpired: {
    summary: 'A notice for the operator: events of a subscription have failed',
    claims: claimsOf(
      'eventsExpired',
      z.object({
        count: wholeNumber.meta({ description: 'those since the last such notice' }),
        ...notice,
        total: wholeNumber.meta({ description: 'those since the event store began to count' }),
      }),
    ).meta({ id: 'EventsExpiredClaims' }),
  },
} as const;

const ListenerError = z
  .object({
    err: z.string().meta({
      description: 'such as `invalid_request`, `invalid_key`, `invalid_issuer` or `invalid_audience`',
    }),
    description: z.string().optional(),
  })
  .meta({ id: 'ListenerError', description: 'the error of RFC 8935, 2.4' });

export function addNotifications({ openAPIRegistry: registry }: Door): void {
  for (const [type, { summary, claims }] of Object.entries(NOTIFICATIONS)) {
    const name = `${type[0]?.toUpperCase()}${type.slice(1)}`;
    const componentOfClaims = type === 'test' ? 'TestClaims' : `${name}Claims`;
    registry.register(componentOfClaims, claims);
    registry.registerWebhook(
      declareRoute({
        method: 'post',
        path: type,
        operationId: `receive${name as Capitalize<string>}`,
        summary,
        description:
          'Verify the token with the keys of `/{cid}/login/jwk`, its issuer and its audience. Any 2xx within the time limit is a success; a redirect is a failure, and every other answer is retried.',
        ...forAnybody('Notifications'),
        request: {
          body: {
            required: true,
            content: {
              'application/secevent+jwt': {
                schema: {
                  type: 'string',
                  description: 'a compact security event token; `contentSchema` has its claims',
                  maxLength: TOKEN_MAX_CHARACTERS,
                  pattern: '^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$',
                  contentMediaType: 'application/jwt',
                  contentSchema: { $ref: `#/components/schemas/${componentOfClaims}` },
                  examples: [EXAMPLE.token],
                },
                example: EXAMPLE.token,
              },
            },
          },
        },
        responses: {
          202: { description: 'Taken' },
          400: {
            description: 'Not taken; the reason is shown in the history of the event',
            content: jsonContent(ListenerError, { err: 'invalid_key', description: 'The key is too old' }),
          },
        },
      }),
    );
  }
}
