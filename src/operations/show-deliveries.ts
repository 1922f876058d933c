/**
 * Packed deliveries come from their store without the signatures of their SETs. A flow that shows such a delivery has it
 * signed again here. The key is kept, sealed, for longer than any event signed with it (contract 6.3), and both
 * algorithms are deterministic, so the signature is the one that was sent.
 *
 * A signature takes about a millisecond, in which the isolate does nothing else, and a delivery whose SET is whole takes a part of
 * that to be read and written. So the flow shows some at a time, asks before each of these bites whether it may go on, and lets
 * other work have its turn after each.
 */
import type { Delivery } from '../domain/delivery.ts';
import { EVENTS_PER_UNIT } from '../domain/limits.ts';
import { isUnsigned, keyIdOf } from '../domain/security-event-token.ts';
import { logWarn } from '../log.ts';
import type { Signer } from '../signing/signer.ts';

/**
 * Deliveries with whole SETs. A delivery whose key is gone, or does not open, keeps an empty signature: the reader still
 * sees what was sent, and the log says why it cannot be verified.
 * @param mayShow asked before each bite of `EVENTS_PER_UNIT` deliveries
 * @returns all deliveries; when `mayShow` said no, those before that bite
 */
export async function withSignatures(
  signer: Pick<Signer, 'open' | 'signAgain'>,
  deliveries: readonly Delivery[],
  mayShow: () => Promise<boolean> = async () => true,
): Promise<Delivery[]> {
  const shown: Delivery[] = [];
  while (shown.length < deliveries.length && (await mayShow())) {
    shown.push(...(await signed(signer, deliveries.slice(shown.length, shown.length + EVENTS_PER_UNIT))));
    await scheduler.wait(0);
  }
  logUnsigned(shown);
  return shown;
}

async function signed(
  signer: Pick<Signer, 'open' | 'signAgain'>,
  bite: readonly Delivery[],
): Promise<Delivery[]> {
  const kids = new Set(bite.filter(lacksSignature).map(({ set }) => keyIdOf(set)));
  if (kids.size === 0) return [...bite];
  await signer.open([...kids]);
  return await Promise.all(
    bite.map(async (delivery) =>
      lacksSignature(delivery) ? { ...delivery, set: await signer.signAgain(delivery.set) } : delivery,
    ),
  );
}

function logUnsigned(deliveries: readonly Delivery[]): void {
  const unsigned = deliveries.filter(lacksSignature);
  if (unsigned.length === 0) return;
  const missing = new Set(unsigned.map(({ set }) => keyIdOf(set)));
  logWarn('signatures not made again: no key', { events: unsigned.length, kids: [...missing].join(' ') });
}

function lacksSignature({ set }: Delivery): boolean {
  return isUnsigned(set);
}
