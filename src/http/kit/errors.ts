/** Errors over HTTP. The answer comes from the one table and says little; the log gets the reason. */
import { ConfigError } from '../../config.ts';
import { type ApiError, ApiFailure, faultsOf, outageBehind } from '../../domain/errors.ts';
import { logError } from '../../log.ts';
import type { AppContext } from './context.ts';
import { onTheWire } from './error-table.ts';
import { idsOf } from './request-id.ts';

/** Answers with an error of the table. */
export function answerError(c: AppContext, error: ApiError): Response {
  const { status, body, headers } = onTheWire(error);
  return c.json(body, status, { ...headers });
}

/** Answers what a handler threw: an expected failure by the table, an outage with 503, and a bug with 500. */
export function handleError(error: Error, c: AppContext): Response {
  if (error instanceof ApiFailure) return answerError(c, error.error);
  const fields = { ...idsOf(c), method: c.req.method };
  if (error instanceof ConfigError) {
    logError('configuration is wrong', error, fields);
    return answerError(c, { code: 'internal' });
  }
  if (outageBehind(error) !== undefined) {
    logError('a store or queue is away', error, fields);
    return answerError(c, {
      code: 'unavailable',
      details: 'A part of the service is briefly away; try again',
      retryAfterSeconds: 5,
    });
  }
  logError('request failed', error, fields);
  return answerError(c, { code: 'internal' });
}

/**
 * The validation hook of every declared route: throws the faults of a query. (Paths have no schema that can fail, and
 * `body.ts` judges bodies.) A parameter that is given twice has that one fault, whatever its values are.
 */
export function refuseInvalid(
  result: { success: true } | { success: false; error: { issues: readonly Issue[] } },
  c: AppContext,
): void {
  if (result.success) return;
  const { issues } = result.error;
  const isRepeated = ({ path: [name] }: Issue) => (c.req.queries(String(name))?.length ?? 0) > 1;
  const repeated = new Set(issues.filter(isRepeated).map(({ path: [name] }) => String(name)));
  const faults = [
    ...[...repeated].map((name) => ({ name, reason: 'is given more than once' })),
    ...faultsOf(
      issues.filter((issue) => !isRepeated(issue)),
      'query',
    ),
  ];
  throw new ApiFailure({ code: 'invalid_query', faults });
}

interface Issue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}
