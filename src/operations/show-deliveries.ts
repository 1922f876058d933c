/**
 * Packed deliveries come from their store without the signatures of their SETs: whoever shows them lets them be made again
 * here. The key is kept, sealed, for longer than any event signed with it (contract 6.3), and RS256 is deterministic.
 */
import type { Config } from '../config.ts';
import type { Delivery } from '../domain/delivery.ts';
import { keyIdOf } from '../domain/security-event-token.ts';
import { logWarn } from '../log.ts';
import { openKeys, signAgain } from '../signing/signer.ts';
import type { Database } from '../storage/database.ts';
import { sealedKeys } from '../storage/signing-keys.ts';

/**
 * Deliveries with whole SETs. One whose key is gone, or does not open, keeps an empty signature: what was sent can still be
 * read, and the log says why it cannot be verified.
 */
export async function withSignatures(
  config: Config,
  db: Database,
  deliveries: readonly Delivery[],
): Promise<Delivery[]> {
  const kids = new Set(deliveries.filter(({ set }) => isUnsigned(set)).map(({ set }) => keyIdOf(set)));
  if (kids.size === 0) return [...deliveries];
  await openKeys(config, [...kids], (missing) => sealedKeys(db, missing));
  const whole = await Promise.all(
    deliveries.map(async (delivery) =>
      isUnsigned(delivery.set) ? { ...delivery, set: await signAgain(delivery.set) } : delivery,
    ),
  );
  const unsigned = whole.filter(({ set }) => isUnsigned(set)).length;
  if (unsigned > 0)
    logWarn('signatures not made again: no key', { events: unsigned, kids: [...kids].join(' ') });
  return whole;
}

function isUnsigned(set: string): boolean {
  return set.endsWith('.');
}
