/** Everything that the model counts, in the units of `npm run bench` where the platform bills it. */
import { noUnits } from '../bench/units.ts';

export class Meters {
  readonly units = noUnits();
  cpuMs = 0;
  objectMs = 0;
  d1Queries = 0;
  /** Calls of event stores by name. */
  readonly calls = new Map<string, number>();
  /** Log lines by event. */
  readonly lines = new Map<string, number>();
  /** Invocations that the platform ended, by reason. */
  readonly killed = new Map<string, number>();
  /** Most deliveries of one message, by queue. */
  readonly deliveries = new Map<string, number>();
  /** Messages that went to a dead letter queue. */
  deadLetters = 0;
  /** Requests and sends that waited for a connection. */
  queuedForConnection = 0;
  subrequestsMax = 0;
  cpuMsMax = 0;
  bytesMax = 0;
  /** Promises of `waitUntil` that were canceled at the end of their time. */
  drained = 0;
}

export function count<Key>(map: Map<Key, number>, key: Key, by = 1): void {
  map.set(key, (map.get(key) ?? 0) + by);
}

export function raise<Key>(map: Map<Key, number>, key: Key, value: number): void {
  map.set(key, Math.max(map.get(key) ?? 0, value));
}
