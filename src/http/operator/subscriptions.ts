/** Subscriptions for the operator (contract 10.2): their event stores adopt them again after D1 was restored. */
import { z } from 'zod';
import { adoptAgain } from '../../operations/adopt-again.ts';
import { operatorAudit } from '../kit/audit.ts';
import type { Door } from '../kit/door.ts';
import { withCustomer } from '../kit/load.ts';
import { problems } from '../kit/problems.ts';
import { declareOwnRoute, forOperator } from '../kit/route.ts';
import { customerPath, jsonContent, wholeNumber } from '../kit/schemas.ts';

const AdoptedAgain = z
  .object({
    total: wholeNumber.meta({ description: 'subscriptions of the customer' }),
    adopted: wholeNumber.meta({
      description:
        'event stores that have adopted their row; the others do with the next event, or within a day',
    }),
  })
  .meta({ id: 'AdoptedAgain' });

const adoptAgainRoute = declareOwnRoute({
  method: 'post',
  path: '/customers/{cid}/subscriptions/adopt-again',
  operationId: 'adoptSubscriptionsAgain',
  summary: "Make event stores adopt a customer's subscriptions again",
  description:
    'For a database that was restored to an earlier time: event stores go by the newer rows that they have seen.',
  ...forOperator(),
  middleware: withCustomer,
  request: { params: customerPath },
  responses: {
    200: { description: 'How many', content: jsonContent(AdoptedAgain, { total: 12, adopted: 12 }) },
    ...problems(403, 404),
  },
});

export function addSubscriptionsOfCustomers(door: Door): void {
  door.openapi(adoptAgainRoute, async (c) => {
    const { id } = c.get('customer');
    const audit = operatorAudit(c, 'subscriptions-adopted-again', { customerId: id });
    return c.json(await adoptAgain(c.get('services'), id, audit), 200);
  });
}
