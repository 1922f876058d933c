/**
 * Maintenance, run by the cron every five minutes: it finishes erasures that were cut short, visits a range of the event
 * stores so that each is seen once a day (no alarm is lost for longer), rotates signing keys, and trims dead letters, the audit
 * trail, tombstones, and links and sessions of the console. A task that fails does not stop the others, and each task may run twice.
 */
import pLimit from 'p-limit';
import type { Config } from '../config.ts';
import { DEAD_LETTER_RETENTION_MS, MINUTE_MS, TOMBSTONE_MS } from '../domain/limits.ts';
import { refOf, type Sharded } from '../domain/subscription.ts';
import type { DayNote, EventStoreRpc } from '../event-store/rpc.ts';
import { logError, logWarn } from '../log.ts';
import type { Signer } from '../signing/signer.ts';
import { blankErasedAudit, deleteOldAudit } from '../storage/audit.ts';
import { deleteEndedSessions } from '../storage/console.ts';
import type { Database } from '../storage/database.ts';
import { trimDeadLetters } from '../storage/dead-letters.ts';
import { noteDay } from '../storage/figures.ts';
import { noteHealth, noteStoreTenths } from '../storage/recipients.ts';
import { deleteRetiredKeys, findDueRotations } from '../storage/signing-keys.ts';
import { deleteTombstones, findRange, type VisitedSubscription } from '../storage/subscriptions.ts';
import { countSteps } from './count-filter-steps.ts';
import { eraseDeleted } from './erase.ts';
import { VisitNotices } from './notices.ts';
import { rotateSigningKeys } from './rotate-keys.ts';
import { askForProof, type SendTestNeeds } from './send-test.ts';

const ERASED_PER_RUN = 200;
/** Making an RSA key takes a good part of a second. */
const ROTATED_PER_RUN = 10;
const RUN_EVERY_MS = 5 * MINUTE_MS;
/** Ids begin with two random hex digits: 256 ranges, one for each run, are all visited within a day (288 runs). */
const RANGES = 256;
const VISITS_AT_ONCE = 6;

interface MaintenanceNeeds {
  readonly config: Config;
  readonly db: Database;
  readonly signer: SendTestNeeds['signer'] & Pick<Signer, 'open'>;
  eventStore(
    subscription: Sharded,
  ): Pick<EventStoreRpc, 'erase' | 'ensureAlarm' | 'settle' | 'read' | 'health'>;
}

/** @param now the time of the run, ms: chooses the range of event stores to visit */
export async function maintain(needs: MaintenanceNeeds, now: number): Promise<void> {
  const { config, db } = needs;
  const tasks: Record<string, () => Promise<unknown>> = {
    'erase deleted stores': () => eraseDeleted(needs, ERASED_PER_RUN),
    'visit event stores': () => visitRange(needs, Math.floor(now / RUN_EVERY_MS) % RANGES, now),
    'rotate signing keys': () => rotateDueKeys(db, config, now),
    'trim dead letters': () => trimLetters(db, now - DEAD_LETTER_RETENTION_MS),
    'trim the audit trail': () => deleteOldAudit(db, now),
    'blank the audit trail of erased customers': () => blankErasedAudit(db, now),
    'delete ended sessions': () => deleteEndedSessions(db, now),
    'forget tombstones': () => deleteTombstones(db, now - TOMBSTONE_MS),
  };
  for (const [name, task] of Object.entries(tasks)) {
    try {
      await task();
    } catch (error) {
      logError('maintenance task failed', error, { task: name });
    }
  }
}

/** Logs what was dropped even when D1 fails before the end. */
async function trimLetters(db: Database, before: number): Promise<void> {
  const dropped = { ofOneCustomer: 0, beyondAll: 0 };
  try {
    await trimDeadLetters(db, before, dropped);
  } finally {
    const causes = {
      'more refused events of one customer than the list keeps': dropped.ofOneCustomer,
      'more than the list holds': dropped.beyondAll,
    };
    for (const [reason, count] of Object.entries(causes)) {
      if (count > 0) logWarn('dead letters dropped', { count, reason });
    }
  }
}

async function rotateDueKeys(db: Database, config: Config, now: number): Promise<void> {
  for (const customerId of await findDueRotations(db, now - config.keyRotationMs, ROTATED_PER_RUN)) {
    try {
      await rotateSigningKeys(db, config, customerId, now, { actor: 'service' });
    } catch (error) {
      logError('signing keys not rotated', error, { customerId });
    }
  }
  await deleteRetiredKeys(db, now);
}

/**
 * Visits the stores of one range: arms alarms that were lost, and notes in D1 health, room and figures that are news, and steps of old
 * filters. An endpoint that is not verified, and whose test notification was lost, gets one. The operator gets the notices that were lost,
 * and those about events that failed since the last visit.
 */
async function visitRange(needs: MaintenanceNeeds, range: number, now: number): Promise<void> {
  const { db, eventStore } = needs;
  const digits = (number: number) => number.toString(16).padStart(2, '0');
  const to = range === RANGES - 1 ? 'g' : digits(range + 1);
  const slots = pLimit(VISITS_AT_ONCE);
  const subscriptions = await findRange(db, digits(range), to);
  const notices = new VisitNotices(needs, subscriptions, now);
  await Promise.all(
    subscriptions.map((subscription) =>
      slots(async () => {
        try {
          const health = await eventStore(subscription).ensureAlarm(refOf(subscription));
          await notices.visit(subscription, health);
          if (health.state !== subscription.health) await noteHealth(db, subscription.id, health);
          const { storeTenths } = health;
          if (storeTenths !== undefined && storeTenths !== subscription.storeTenths)
            await noteStoreTenths(db, subscription.id, storeTenths);
          if (health.day !== undefined && isNews(health.day, subscription))
            await noteDay(db, subscription.id, health.day);
          if (health.isUntested === true) await askForProof(needs, subscription, now);
          await countSteps(db, subscription);
        } catch (error) {
          logError('event store not visited', error, { subscriptionId: subscription.id });
        }
      }),
    ),
  );
}

/** Whether a store says something else than at its last visit. */
function isNews(day: DayNote, noted: VisitedSubscription): boolean {
  return (
    day.accepted !== noted.dayAccepted ||
    day.delivered !== noted.dayDelivered ||
    day.failed !== noted.dayFailed ||
    day.waiting !== noted.waiting ||
    (day.oldestWaitingAt ?? null) !== noted.oldestWaitingAt
  );
}
