/** Ports of care tasks, made from the environment. */
import type { Env } from '../env.ts';
import { openEventStore } from '../event-store/event-store.ts';
import { openDatabase } from '../storage/database.ts';
import { findUnerased, markErased } from '../storage/subscriptions.ts';
import type { ErasePorts } from './erase.ts';

export function erasePorts(env: Env): ErasePorts {
  const db = openDatabase(env.DB);
  return {
    findUnerased: (limit, customerId) => findUnerased(db, limit, customerId),
    eraseStore: (ref) => openEventStore(env, ref.subscriptionId).erase(ref),
    markErased: (id) => markErased(db, id, Date.now()),
  };
}
