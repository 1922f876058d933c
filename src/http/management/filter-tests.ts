/** Filter tests over HTTP (contract 10.10). */
import { z } from 'zod';
import { ApiFailure } from '../../domain/errors.ts';
import { PublishedEvent } from '../../domain/event.ts';
import { testFilter } from '../../domain/filter-test.ts';
import { newEventIds } from '../../domain/ids.ts';
import { FILTER_FORM } from '../../domain/subscription-body.ts';
import { addRouteThatReadsBody, readJson } from '../kit/body.ts';
import type { Door } from '../kit/door.ts';
import { EXAMPLE } from '../kit/examples.ts';
import { problems } from '../kit/problems.ts';
import { declareOwnRoute, forClients } from '../kit/route.ts';
import { customerPath, jsonContent } from '../kit/schemas.ts';
import { takeUnits } from '../kit/work.ts';

const FilterTest = z
  .object({ filter: z.record(z.string(), z.unknown()).nullable().meta(FILTER_FORM), event: PublishedEvent })
  .meta({ id: 'FilterTest' });

const FilterTestAnswer = z
  .object({
    matches: z.boolean().meta({ description: 'whether a subscription with the filter gets the event' }),
    typeNamed: z.boolean().meta({
      description: 'whether `properties` of the filter, or of a schema that it combines, has the type',
    }),
  })
  .meta({ id: 'FilterTestResult' });

const route = declareOwnRoute({
  method: 'post',
  path: '/filter-tests',
  operationId: 'testFilter',
  summary: 'Test a filter on an event',
  description:
    'Judges the filter as a subscription does and the event as a publish does. Nothing is stored or sent. It takes a unit of costly work.',
  ...forClients('Subscriptions'),
  request: {
    params: customerPath,
    body: {
      content: jsonContent(FilterTest, {
        filter: { properties: { entityUpdated: { properties: { entityType: { const: 'user' } } } } },
        event: {
          type: 'entityUpdated',
          captureApplicationId: EXAMPLE.application,
          captureClientId: EXAMPLE.applicationClient,
          entityType: 'user',
          sub: EXAMPLE.profile,
          attributes: ['familyName'],
        },
      }),
      required: true,
    },
  },
  responses: {
    200: {
      description: 'Whether the event passes',
      content: jsonContent(FilterTestAnswer, { matches: true, typeNamed: true }),
    },
    ...problems(400, 403, 413, 415, 429),
  },
});

export function addFilterTests(door: Door): void {
  addRouteThatReadsBody(door, route, async (c) => {
    const body = await readJson(c, {});
    // To judge a filter is to build it, which is the most of the work: the unit is taken first.
    await takeUnits(c, 1);
    const now = Date.now();
    const [freshId = ''] = newEventIds(now, 1, crypto.getRandomValues(new Uint8Array(16)));
    const { captureDomain } = c.get('services').config;
    const result = testFilter(body, { now, customerId: c.req.valid('param').cid, freshId, captureDomain });
    if (!result.ok) throw new ApiFailure({ code: 'invalid_body', faults: result.faults });
    const { matches, typeNamed } = result;
    return c.json({ matches, typeNamed }, 200);
  });
}
