/** Judges the id and the secret of a client, for an access token (contract 2) and for a session of the console (contract 10.15). */
import { FAILURES_MAX_PER_ADDRESS, FAILURES_MAX_PER_CLIENT } from '../../domain/limits.ts';
import { equalSecrets, hashSecret } from '../../signing/secrets.ts';
import { type Credential, findCredentials } from '../../storage/clients.ts';
import { type AppContext, callerKey } from './context.ts';
import type { GuessLimit, Verdict } from './guesses.ts';

export interface SentCredentials {
  readonly clientId: string;
  /** The secret as sent, and decoded if that differs. */
  readonly secrets: readonly string[];
}

/** What a look-up found of the ids that a request brings. Any other text may be made up, or a secret in the wrong place. */
export interface Found {
  /** Only if there is such a customer. */
  readonly customerId?: string | undefined;
  /** Only if the customer has such a client. */
  readonly clientId?: string | undefined;
}

/**
 * Judges credentials, unless there were too many failures of this client from this address, or of this address.
 * @param onFound called with the ids that exist
 */
export function judgeCredentials(
  c: AppContext,
  customerId: string,
  { clientId, secrets }: SentCredentials,
  onFound: (ids: Found) => void,
): Promise<Verdict<Credential>> {
  const { isolate, services } = c.var;
  const address = callerKey(c);
  const { failedAuthByClient, failedAuthByAddress } = services.rateLimits;
  const limits: readonly GuessLimit[] = [
    {
      key: `${customerId}/${clientId} ${address}`,
      failuresMax: FAILURES_MAX_PER_CLIENT,
      shared: failedAuthByClient,
    },
    { key: address, failuresMax: FAILURES_MAX_PER_ADDRESS, shared: failedAuthByAddress },
  ];
  const judging = isolate.guesses.judge(limits, async () => {
    const credentials = await isolate.customers.find(customerId, () =>
      findCredentials(services.db, customerId, clientId, Date.now()),
    );
    if (credentials !== undefined)
      onFound(credentials.length > 0 ? { customerId, clientId } : { customerId });
    return await rightOne(customerId, clientId, secrets, credentials ?? []);
  });
  // A caller who goes away does not end the judgement, so that its failure is counted.
  c.executionCtx.waitUntil(judging.catch(() => undefined));
  return judging;
}

/** The credential that one of the texts is the secret of. An unknown client has none, which takes less time. */
async function rightOne(
  customerId: string,
  clientId: string,
  secrets: readonly string[],
  credentials: readonly Credential[],
): Promise<Credential | undefined> {
  let right: Credential | undefined;
  for (const secret of secrets) {
    const hash = await hashSecret(customerId, clientId, secret);
    for (const credential of credentials) {
      if (await equalSecrets(hash, credential.secretHash)) right = credential;
    }
  }
  return right;
}
