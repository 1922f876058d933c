/**
 * Sets up the notices for the operator (contract 10.16): a customer of their own, with signing keys like every other, and one subscription. It
 * asks for no type of event, so what a producer publishes for that customer never gets into the notices. A call that dies halfway is
 * repeated: the row in D1 names the customer and the subscription that are still to be made.
 */
import type { Config } from '../config.ts';
import type { AuditRow } from '../domain/audit.ts';
import type { Sharded, Subscription } from '../domain/subscription.ts';
import type { EventStoreRpc } from '../event-store/rpc.ts';
import { makeSigningKeys } from '../signing/keys.ts';
import { writeAudit } from '../storage/audit.ts';
import type { Database } from '../storage/database.ts';
import {
  findNoticesOwner,
  insertNoticesOwner,
  type NoticesOwner,
  nameNoticesSubscription,
} from '../storage/notices.ts';
import { findSubscription, insertSubscription } from '../storage/subscriptions.ts';
import { logAudit } from './audit-trail.ts';
import { changeSubscription, createStore } from './change-subscription.ts';
import { forgetReceiver } from './notices.ts';
import { askForProof, type SendTestNeeds } from './send-test.ts';

const CUSTOMER_NAME = 'Notices for the operator';
const TITLE = 'Notices for the operator';
const FIRST_VERSION = 1;

interface SetNoticesNeeds {
  readonly config: Config;
  readonly db: Database;
  readonly signer: SendTestNeeds['signer'];
  eventStore(subscription: Sharded): Pick<EventStoreRpc, 'adopt' | 'settle' | 'read'>;
}

interface Wish {
  readonly endpoint: string;
  readonly enabled: boolean;
}

/** The subscription of the notices; `undefined` while there is none. */
export async function findNoticesSubscription(db: Database): Promise<Subscription | undefined> {
  const owner = await findNoticesOwner(db);
  return owner && (await findSubscription(db, owner.customerId, owner.subscriptionId));
}

/**
 * @param auditOf the row of this act; it is written before
 * @returns `undefined` when another call changed or erased them at the same time
 */
export async function setNotices(
  needs: SetNoticesNeeds,
  wish: Wish,
  now: number,
  auditOf: (owner: NoticesOwner) => AuditRow,
): Promise<Subscription | undefined> {
  const { db } = needs;
  try {
    const owner = (await findNoticesOwner(db)) ?? (await makeOwner(needs, now));
    if (owner === undefined) return undefined;
    const audit = auditOf(owner);
    await writeAudit(db, audit);
    logAudit(audit);
    const found = await findSubscription(db, owner.customerId, owner.subscriptionId);
    if (found === undefined) return await makeSubscription(needs, owner.customerId, wish, now);
    const changed = await changeSubscription(needs, found, wish, now);
    return changed.result === 'updated' ? changed.subscription : undefined;
  } finally {
    forgetReceiver(db);
  }
}

async function makeOwner(
  { config, db }: SetNoticesNeeds,
  createdAt: number,
): Promise<NoticesOwner | undefined> {
  const customer = { id: crypto.randomUUID(), name: CUSTOMER_NAME, createdAt, eddsaSince: null };
  const keys = await makeSigningKeys(config, customer.id, createdAt);
  await insertNoticesOwner(db, customer, keys, crypto.randomUUID());
  // Another call may have been first.
  return await findNoticesOwner(db);
}

/** A subscription that was deleted leaves its id behind, so the new one has another. */
async function makeSubscription(
  needs: SetNoticesNeeds,
  customerId: string,
  { endpoint, enabled }: Wish,
  now: number,
): Promise<Subscription | undefined> {
  const { config, db } = needs;
  const needsProof = config.verifyEndpoints;
  const subscription: Subscription = {
    id: crypto.randomUUID(),
    customerId,
    title: TITLE,
    endpoint,
    events: [],
    enabled,
    filter: null,
    filterSteps: 0,
    storeTenths: 0,
    health: needsProof ? 'unverified' : 'healthy',
    healthSince: 0,
    shards: null,
    proof: needsProof ? FIRST_VERSION : null,
    version: FIRST_VERSION,
    createdAt: now,
    updatedAt: now,
  };
  if ((await insertSubscription(db, subscription, config.maxSubscriptions)) !== 'created') return undefined;
  await nameNoticesSubscription(db, customerId, subscription.id);
  if (needsProof) await askForProof(needs, subscription, now);
  else await createStore(needs, subscription);
  return subscription;
}
