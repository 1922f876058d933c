/**
 * Work that costs more than a call (contract 8): a customer, and the operator, has so many units of it in 10 seconds. A handler takes a unit
 * before it does the work that the unit stands for, so nothing is done that the limit does not permit.
 *
 * The platform's limiter counts calls of itself. Its types know a weight (`delta`), which its documentation does not name
 * and the local runtime refuses, so a unit is one call.
 */
import { ApiFailure } from '../../domain/errors.ts';
import { type AppContext, param } from './context.ts';

/** Seconds: the period of the limiter (wrangler.toml). */
const PERIOD_SECONDS = 10;

/** Takes one unit of work of the customer. @returns false when none is left */
export async function takeUnit(c: AppContext): Promise<boolean> {
  return (await c.get('services').rateLimits.costlyWork.limit({ key: param(c, 'cid') })).success;
}

/** Takes units of work of the operator. @throws ApiFailure `too_many_requests` when too few are left */
export async function takeOperatorUnits(c: AppContext, units: number): Promise<void> {
  const { costlyWork } = c.get('services').rateLimits;
  for (let taken = 0; taken < units; taken++) {
    if (!(await costlyWork.limit({ key: 'operator' })).success) throw tooMuchWork();
  }
}

/** Takes units of work for a call that does all or nothing. @throws ApiFailure `too_many_requests` when too few are left */
export async function takeUnits(c: AppContext, units: number): Promise<void> {
  for (let taken = 0; taken < units; taken++) if (!(await takeUnit(c))) throw tooMuchWork();
}

/** What a call is answered for which no unit of work is left. */
function tooMuchWork(): ApiFailure {
  return new ApiFailure({
    code: 'too_many_requests',
    details: `Too much work in ${PERIOD_SECONDS} seconds: read less at a time, or less often`,
    retryAfterSeconds: PERIOD_SECONDS,
  });
}
