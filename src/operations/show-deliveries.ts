/**
 * Packed deliveries come from their store without the signatures of their SETs. A flow that shows such a delivery has it
 * signed again here. The key is kept, sealed, for longer than any event signed with it (contract 6.3), and RS256 is
 * deterministic, so the signature is the one that was sent.
 *
 * A signature takes about a millisecond, in which the isolate does nothing else. So the flow signs some at a time, asks
 * before each of these bites whether it may go on, and lets other work have its turn after each.
 */
import type { Delivery } from '../domain/delivery.ts';
import { SIGNATURES_PER_UNIT } from '../domain/limits.ts';
import { keyIdOf } from '../domain/security-event-token.ts';
import { logWarn } from '../log.ts';
import type { Signer } from '../signing/signer.ts';

/**
 * Deliveries with whole SETs. A delivery whose key is gone, or does not open, keeps an empty signature: the reader still
 * sees what was sent, and the log says why it cannot be verified.
 * @param maySign asked before each bite of `SIGNATURES_PER_UNIT` signatures
 * @returns all deliveries; when `maySign` said no, those before the first one that was not signed
 */
export async function withSignatures(
  signer: Pick<Signer, 'open' | 'signAgain'>,
  deliveries: readonly Delivery[],
  maySign: () => Promise<boolean> = async () => true,
): Promise<Delivery[]> {
  const shown: Delivery[] = [];
  while (shown.length < deliveries.length) {
    const { whole, bite } = nextBite(deliveries, shown.length);
    shown.push(...whole);
    if (bite.length === 0) continue;
    if (!(await maySign())) break;
    shown.push(...(await signed(signer, bite)));
    await scheduler.wait(0);
  }
  logUnsigned(shown);
  return shown;
}

/** The whole deliveries from `start` on, and those after them, of which `SIGNATURES_PER_UNIT` at most lack their signature. */
function nextBite(deliveries: readonly Delivery[], start: number) {
  let first = start;
  while (first < deliveries.length && !isUnsigned(deliveries[first])) first++;
  let end = first;
  for (let unsigned = 0; end < deliveries.length; end++) {
    if (isUnsigned(deliveries[end]) && ++unsigned > SIGNATURES_PER_UNIT) break;
  }
  return { whole: deliveries.slice(start, first), bite: deliveries.slice(first, end) };
}

async function signed(
  signer: Pick<Signer, 'open' | 'signAgain'>,
  bite: readonly Delivery[],
): Promise<Delivery[]> {
  await signer.open([...new Set(bite.filter(isUnsigned).map(({ set }) => keyIdOf(set)))]);
  return await Promise.all(
    bite.map(async (delivery) =>
      isUnsigned(delivery) ? { ...delivery, set: await signer.signAgain(delivery.set) } : delivery,
    ),
  );
}

function logUnsigned(deliveries: readonly Delivery[]): void {
  const unsigned = deliveries.filter(isUnsigned);
  if (unsigned.length === 0) return;
  const missing = new Set(unsigned.map(({ set }) => keyIdOf(set)));
  logWarn('signatures not made again: no key', { events: unsigned.length, kids: [...missing].join(' ') });
}

function isUnsigned(delivery: Delivery | undefined): boolean {
  return delivery?.set.endsWith('.') === true;
}
