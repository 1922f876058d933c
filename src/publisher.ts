/** `Publisher`: publishing by RPC, for Workers with a service binding to this entrypoint (contract 10.1). */
import { WorkerEntrypoint } from 'cloudflare:workers';
import { readConfig } from './config.ts';
import { publish } from './delivery/publish.ts';
import type { Env } from './env.ts';

export class Publisher extends WorkerEntrypoint<Env> {
  /**
   * Publishes one event or an array of 1 to 500; all or nothing.
   * @returns their ids in the order given, once durably queued
   * @throws Error whose message is a JSON array of faults (`[{"name":"[3].attributes","reason":"…"}]`) when any
   *   event is refused; any other error means that nothing is known to be queued: repeat with the same ids
   */
  async publish(events: unknown): Promise<string[]> {
    readConfig(this.env);
    const result = await publish(this.env.EVENTS, events, Date.now());
    if (!result.ok) throw new Error(JSON.stringify(result.faults));
    return result.events.map(({ id }) => id);
  }
}
