/** The cron: runs maintenance every five minutes. */
import { logError } from '../log.ts';
import { maintain } from '../operations/maintain.ts';
import type { Services } from '../services.ts';

/**
 * @param create puts the service together; a wrong configuration skips this run
 * @param now the time for which the cron was scheduled, ms
 */
export async function runScheduled(create: () => Services, now: number): Promise<void> {
  let services: Services;
  try {
    services = create();
  } catch (error) {
    logError('maintenance skipped', error);
    return;
  }
  await maintain(services, now);
}
