/** Runs the cron once, with an environment and a time that the test chooses. */
import { runScheduled } from '../../src/cron/scheduled.ts';
import type { Env } from '../../src/env.ts';
import { createAddressCheck } from '../../src/outbound/address-check.ts';
import { createServices } from '../../src/services.ts';

export async function runCron(environment: Env, now: number): Promise<void> {
  await runScheduled(() => createServices(environment, createAddressCheck()), now);
}
