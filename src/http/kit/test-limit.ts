/** The limit on the test notifications of one customer (contract 3.7): each is a request that the customer can aim. */
import { ApiFailure } from '../../domain/errors.ts';
import type { AppContext } from './context.ts';

/** Of the binding `TESTS`. */
const PERIOD_SECONDS = 60;

/** Counts a test notification before anything is changed or sent. @throws ApiFailure `too_many_requests` */
export async function countTest(c: AppContext, customerId: string): Promise<void> {
  if ((await c.get('services').rateLimits.tests.limit({ key: customerId })).success) return;
  throw new ApiFailure({
    code: 'too_many_requests',
    details: 'More than 60 test notifications in a minute',
    retryAfterSeconds: PERIOD_SECONDS,
  });
}
