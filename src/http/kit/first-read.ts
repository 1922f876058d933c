/**
 * The first read of a management call: all that it needs of D1, in one round trip, because D1 is in one region and the caller may be far from
 * it. The guard reads the subscription together with the credential, when it does not remember the credential; a list of events also needs
 * the customer's signing key. What is read early decides nothing early: the order of contract 8 holds.
 */
import type { Context } from 'hono';
import { isUuid } from '../../domain/ids.ts';
import type { Subscription } from '../../domain/subscription.ts';
import { type Credential, credentialQuery } from '../../storage/clients.ts';
import { readTogether } from '../../storage/database.ts';
import { currentKeysQuery } from '../../storage/signing-keys.ts';
import { subscriptionQuery } from '../../storage/subscriptions.ts';
import type { AppContext, AppEnv } from './context.ts';

/** The path below `/{cid}/webhooks/subscriptions/`. */
const SHOWS_EVENTS = /^[^/]+\/events(\/[^/]+)?$/;

/** Reads the credential that a token names, and with it the subscription that the path names. */
export async function readCredential(
  c: Context<AppEnv>,
  customerId: string,
  secretId: string,
): Promise<Credential | undefined> {
  const { db, signer } = c.get('services');
  const id = namedSubscription(c, customerId);
  const { credential, subscription, keys } = await readTogether(db, {
    credential: credentialQuery(db, secretId),
    subscription: id === undefined ? undefined : subscriptionQuery(db, customerId, id),
    keys: needsKey(c, customerId) ? currentKeysQuery(db, customerId) : undefined,
  });
  const [found] = credential;
  // A stranger's call ends here: nothing is kept for it.
  if (found?.customerId !== customerId) return found;
  if (keys !== undefined) await signer.take(keys);
  if (id !== undefined) c.set('early', { id, subscription: subscription?.[0] });
  return found;
}

/** The living subscription of the customer; as the guard has read it, if it has. */
export async function readSubscription(
  c: AppContext,
  customerId: string,
  id: string,
): Promise<Subscription | undefined> {
  const early = c.get('early');
  if (early?.id === id) return early.subscription;
  const { db, signer } = c.get('services');
  const { subscription, keys } = await readTogether(db, {
    subscription: subscriptionQuery(db, customerId, id),
    keys: needsKey(c, customerId) ? currentKeysQuery(db, customerId) : undefined,
  });
  if (keys !== undefined) await signer.take(keys);
  return subscription[0];
}

/** The subscription that the path names; `undefined` also for a DELETE of it, which reads and deletes in one statement. */
function namedSubscription(c: AppContext, customerId: string): string | undefined {
  const [id = '', ...rest] = below(c, customerId)?.split('/') ?? [];
  const isDelete = c.req.method === 'DELETE' && rest.length === 0;
  return isUuid(id) && !isDelete ? id : undefined;
}

/** Whether the answer shows events, whose signatures may have to be made again, and this isolate may have no key for that. */
function needsKey(c: AppContext, customerId: string): boolean {
  if (c.req.method !== 'GET' || !SHOWS_EVENTS.test(below(c, customerId) ?? '')) return false;
  return !c.get('services').signer.holdsKeyOf(customerId);
}

function below(c: AppContext, customerId: string): string | undefined {
  const prefix = `/${customerId}/webhooks/subscriptions/`;
  return c.req.path.startsWith(prefix) ? c.req.path.slice(prefix.length) : undefined;
}
