/**
 * Packed deliveries come from their store without the signatures of their SETs. A flow that shows such a delivery has it
 * signed again here. The key is kept, sealed, for longer than any event signed with it (contract 6.3), and RS256 is
 * deterministic, so the signature is the one that was sent.
 */
import type { Delivery } from '../domain/delivery.ts';
import { keyIdOf } from '../domain/security-event-token.ts';
import { logWarn } from '../log.ts';
import type { Signer } from '../signing/signer.ts';

/**
 * Deliveries with whole SETs. A delivery whose key is gone, or does not open, keeps an empty signature: the reader still
 * sees what was sent, and the log says why it cannot be verified.
 */
export async function withSignatures(
  signer: Pick<Signer, 'open' | 'signAgain'>,
  deliveries: readonly Delivery[],
): Promise<Delivery[]> {
  const kids = new Set(deliveries.filter(({ set }) => isUnsigned(set)).map(({ set }) => keyIdOf(set)));
  if (kids.size === 0) return [...deliveries];
  await signer.open([...kids]);
  const whole = await Promise.all(
    deliveries.map(async (delivery) =>
      isUnsigned(delivery.set) ? { ...delivery, set: await signer.signAgain(delivery.set) } : delivery,
    ),
  );
  const unsigned = whole.filter(({ set }) => isUnsigned(set));
  if (unsigned.length > 0) {
    const missing = new Set(unsigned.map(({ set }) => keyIdOf(set)));
    logWarn('signatures not made again: no key', { events: unsigned.length, kids: [...missing].join(' ') });
  }
  return whole;
}

function isUnsigned(set: string): boolean {
  return set.endsWith('.');
}
