/** `Publisher`: publishing by RPC, for Workers with a service binding to this entrypoint (contract 10.1). */
import { WorkerEntrypoint } from 'cloudflare:workers';
import { publish } from './delivery/publish.ts';
import { firstFaults } from './domain/errors.ts';
import type { Env } from './env.ts';
import { logError } from './log.ts';
import { createAddressCheck } from './outbound/address-check.ts';
import { createServices } from './services.ts';

const checkAddress = createAddressCheck();

export class Publisher extends WorkerEntrypoint<Env> {
  /**
   * Publishes one event or an array of 1 to 500; all or nothing.
   * @returns their ids in the order given, once durably queued
   * @throws Error whose message is a JSON array of faults (`[{"name":"[3].attributes","reason":"…"}]`) when any
   *   event is refused; any other error means that nothing is known to be
   *   queued: repeat with the same ids
   */
  async publish(events: unknown): Promise<string[]> {
    const { queues, config } = createServices(this.env, checkAddress);
    const requestId = crypto.randomUUID();
    const traced = config.traceRequests ? requestId : undefined;
    const result = await publish(queues.events, events, Date.now(), undefined, traced).catch(
      (error: unknown) => {
        logError('publish not queued', error, { requestId });
        throw error;
      },
    );
    if (!result.ok) throw new Error(JSON.stringify(firstFaults(result.faults, 'body')));
    return result.events.map(({ id }) => id);
  }
}
