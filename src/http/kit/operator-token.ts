/** Judges texts that may be `OPERATOR_TOKEN`, at the operator's door and at the sign-in of the console (contract 10.2 and 10.15). */
import { ApiFailure } from '../../domain/errors.ts';
import { FAILURES_MAX_PER_CLIENT } from '../../domain/limits.ts';
import { equalSecrets } from '../../signing/secrets.ts';
import { noteToken } from './audit.ts';
import { type AppContext, callerKey } from './context.ts';
import { logRefusal } from './refusals.ts';

/**
 * Both doors share the count of an address, so that the second gives no further guesses.
 * @throws ApiFailure `forbidden` when the text is not the token, and `too_many_requests` when it was not compared
 */
export async function judgeOperatorToken(
  c: AppContext,
  door: 'operator' | 'console',
  text: string,
  operatorToken: string,
): Promise<void> {
  const shared = c.get('services').rateLimits.failedAuthByClient;
  const limit = { key: `operator ${callerKey(c)}`, failuresMax: FAILURES_MAX_PER_CLIENT, shared };
  const verdict = await c
    .get('isolate')
    .guesses.judge([limit], async () => ((await equalSecrets(text, operatorToken)) ? true : undefined));
  if (verdict.kind === 'wrong') {
    logRefusal(c, door, 'wrong token');
    noteToken(c, { event: 'operator-refused', actor: 'stranger', outcome: 'wrong token' });
    throw new ApiFailure({ code: 'forbidden' });
  }
  if (verdict.kind === 'not judged') {
    noteToken(c, { event: 'operator-refused', actor: 'stranger', outcome: 'not judged' });
    throw new ApiFailure({
      code: 'too_many_requests',
      details: `${FAILURES_MAX_PER_CLIENT} wrong operator tokens in a minute from this address`,
      retryAfterSeconds: verdict.retryAfterSeconds,
    });
  }
}
