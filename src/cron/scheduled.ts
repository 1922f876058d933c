/**
 * Care, every five minutes: finishes erasures that were cut short, visits a slice of the event stores so that
 * each is seen daily (an alarm cannot be lost for longer), rotates signing keys, and trims dead letters and tombstones. Each task is
 * caught by itself, and each may run twice.
 */
import pLimit from 'p-limit';
import { type Config, readConfig } from '../config.ts';
import { DEAD_LETTER_RETENTION_MS, MINUTE_MS, TOMBSTONE_MS } from '../domain/limits.ts';
import { refOf } from '../domain/subscription.ts';
import type { Env } from '../env.ts';
import { openEventStore } from '../event-store/event-store.ts';
import { logError, logWarn } from '../log.ts';
import { eraseDeleted } from '../operations/erase.ts';
import { erasePorts } from '../operations/ports.ts';
import { rotateSigningKeys } from '../operations/rotate-keys.ts';
import { openDatabase } from '../storage/database.ts';
import { trimDeadLetters } from '../storage/dead-letters.ts';
import { deleteRetiredKeys, findDueRotations } from '../storage/signing-keys.ts';
import { deleteTombstones, findSlice, noteHealth } from '../storage/subscriptions.ts';

const ERASED_PER_RUN = 200;
/** Making an RSA key takes a good part of a second. */
const ROTATED_PER_RUN = 10;
const RUN_EVERY_MS = 5 * MINUTE_MS;
/** Ids begin with two random hex digits: 256 slices, one a run, all within a day (288 runs). */
const SLICES = 256;
const VISITS_AT_ONCE = 6;

export async function care(env: Env, now: number): Promise<void> {
  let config: Config;
  try {
    config = readConfig(env);
  } catch (error) {
    logError('care skipped', error);
    return;
  }
  const db = openDatabase(env.DB);
  const tasks: Record<string, () => Promise<unknown>> = {
    'erase deleted stores': () => eraseDeleted(erasePorts(env), ERASED_PER_RUN),
    'visit event stores': () => visitSlice(env, Math.floor(now / RUN_EVERY_MS) % SLICES),
    'rotate signing keys': async () => {
      const due = await findDueRotations(db, now - config.keyRotationMs, ROTATED_PER_RUN);
      for (const customerId of due) {
        try {
          await rotateSigningKeys(db, config, customerId, now);
        } catch (error) {
          logError('signing keys not rotated', error, { customerId });
        }
      }
      await deleteRetiredKeys(db, now);
    },
    'trim dead letters': async () => {
      const dropped = await trimDeadLetters(db, now - DEAD_LETTER_RETENTION_MS);
      if (dropped > 0)
        logWarn('dead letters dropped', { count: dropped, reason: 'more than the list holds' });
    },
    'forget tombstones': () => deleteTombstones(db, now - TOMBSTONE_MS),
  };
  for (const [name, task] of Object.entries(tasks)) {
    try {
      await task();
    } catch (error) {
      logError('care task failed', error, { task: name });
    }
  }
}

async function visitSlice(env: Env, slice: number): Promise<void> {
  const digits = (number: number) => number.toString(16).padStart(2, '0');
  const to = slice === SLICES - 1 ? 'g' : digits(slice + 1);
  const slots = pLimit(VISITS_AT_ONCE);
  const db = openDatabase(env.DB);
  const subscriptions = await findSlice(db, digits(slice), to);
  await Promise.all(
    subscriptions.map((subscription) =>
      slots(async () => {
        try {
          const health = await openEventStore(env, subscription.id).ensureAlarm(refOf(subscription));
          if (health.state !== subscription.health) await noteHealth(db, subscription.id, health);
        } catch (error) {
          logError('event store not visited', error, { subscriptionId: subscription.id });
        }
      }),
    ),
  );
}
