/**
 * Sends a test notification (contract 3.7): signs a security event token with the event `test`, or with what the caller gives instead
 * (contract 10.11), and settles it without an attempt. The store then has the delivery and sends it with its next alarm, whatever the health of the endpoint is.
 * A call that dies leaves no test, or one that is sent; a repeat is another test under another event id. A success of a test
 * also verifies a new endpoint (contract 10.8): for that the service sends one by itself.
 */
import type { Delivery } from '../domain/delivery.ts';
import { newEventIds } from '../domain/ids.ts';
import type { SetContent } from '../domain/security-event-token.ts';
import { homeTime } from '../domain/shards.ts';
import type { SigningKeyName } from '../domain/signing-algorithm.ts';
import { refOf, type Sharded, type Subscription } from '../domain/subscription.ts';
import type { EventStoreRpc } from '../event-store/rpc.ts';
import { logError } from '../log.ts';
import type { Signer } from '../signing/signer.ts';
import type { Database } from '../storage/database.ts';
import { currentKeysQuery, signerOf } from '../storage/signing-keys.ts';

export interface SendTestNeeds {
  readonly db: Database;
  readonly signer: Pick<Signer, 'take' | 'sign'>;
  eventStore(subscription: Sharded): Pick<EventStoreRpc, 'settle' | 'read'>;
}

type SentTest =
  | { readonly result: 'stored'; readonly delivery: Delivery }
  | { readonly result: 'disabled' }
  | { readonly result: 'too soon'; readonly waitMs: number }
  /** The customer or the subscription went while the call was under way. */
  | { readonly result: 'no customer' | 'no subscription' };

/** The `events` claim of a test, by its event id. */
type ClaimOf = (eventId: string) => Record<string, object>;

const testEvent: ClaimOf = (id) => ({ test: { id } });

/** @param requestId the call that asked for it, for the log of its attempts */
export async function sendTest(
  needs: SendTestNeeds,
  subscription: Subscription,
  now: number,
  claimOf?: ClaimOf,
  requestId?: string,
): Promise<SentTest> {
  const stored = await storeTest(needs, subscription, now, claimOf, requestId);
  if (stored.result !== 'stored') return stored;
  const delivery = await needs.eventStore(subscription).read(stored.eventId);
  // An erased store has stored nothing.
  return delivery === undefined ? { result: 'no subscription' } : { result: 'stored', delivery };
}

type StoredTest =
  | { readonly result: 'stored'; readonly eventId: string }
  | Exclude<SentTest, { readonly result: 'stored' }>;

async function storeTest(
  needs: SendTestNeeds,
  subscription: Subscription,
  now: number,
  claimOf: ClaimOf = testEvent,
  requestId?: string,
): Promise<StoredTest> {
  if (!subscription.enabled) return { result: 'disabled' };
  const keys = await currentKeysQuery(needs.db, subscription.customerId);
  const key = signerOf(keys, now);
  if (key === undefined) return { result: 'no customer' };
  await needs.signer.take(keys.filter(({ kid }) => kid === key.kid));
  const { shards } = subscription;
  const idTime = shards === null ? now : homeTime(shards, now);
  const [eventId = ''] = newEventIds(idTime, 1, crypto.getRandomValues(new Uint8Array(16)));
  const set = await sign(needs.signer, key, subscription, { eventId, events: claimOf(eventId) }, now);
  const { endpoint } = subscription;
  const traced = requestId === undefined ? {} : { requestId };
  const facts = { eventId, acceptedAt: now, endpoint, set, neverHeld: true as const, ...traced };
  const { settled } = await needs
    .eventStore(subscription)
    .settle(refOf(subscription), [{ ...facts, kind: 'deferred' }]);
  const waitMs = settled[0]?.waitMs;
  return waitMs === undefined ? { result: 'stored', eventId } : { result: 'too soon', waitMs };
}

/**
 * Sends the first test notification to an endpoint that is not verified. A failure changes nothing for the caller: the customer
 * may send a test at any time, and the daily visit sends one that was never stored.
 */
export async function askForProof(
  needs: SendTestNeeds,
  subscription: Subscription,
  now: number,
): Promise<void> {
  if (subscription.health !== 'unverified') return;
  try {
    await storeTest(needs, subscription, now);
  } catch (error) {
    logError('endpoint not asked for its proof', error, { subscriptionId: subscription.id });
  }
}

async function sign(
  signer: SendTestNeeds['signer'],
  key: SigningKeyName,
  subscription: Subscription,
  content: Pick<SetContent, 'eventId' | 'events'>,
  now: number,
): Promise<string> {
  return await signer.sign(key, {
    customerId: subscription.customerId,
    subscriptionId: subscription.id,
    ...content,
    endpoint: subscription.endpoint,
    acceptedAt: now,
    occurredAt: now,
  });
}
