/**
 * What the model takes the platform to be. Limits are Cloudflare's published ones; service times are assumptions, all in one
 * place, so that a scenario can change them.
 */
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '../..');

/** Connections of one invocation that may wait for headers (workers/platform/limits, "Simultaneous open connections"). */
export const CONNECTIONS_MAX = 6;
/** Wall time of a queue consumer, ms (queues/platform/limits). */
export const INVOCATION_WALL_MS = 15 * 60_000;
/** How long work in `waitUntil` goes on after the handler returned, with the flag below; ms (workerd `limitDrain`). */
export const DRAIN_MS = 30_000;
/** With it a batch ends with its handler; without it, with the last promise of `waitUntil` (compatibility flags). */
export const NO_WAIT_FLAG = 'queue_consumer_no_wait_for_wait_until';
/** Concurrent invocations of one consumer (queues/platform/limits). */
export const CONSUMERS_MAX = 250;
/** Limits of a queue, bytes and messages (queues/platform/limits). */
export const QUEUE_LIMITS = { messageBytes: 128_000, sendMessages: 100, sendBytes: 256_000, perSecond: 5000 };
/** An object without calls for this long leaves memory (durable-objects/concepts/durable-object-lifecycle). */
export const OBJECT_IDLE_MS = 10_000;

/** Assumed times, ms. */
export interface Times {
  /** From a consumer to an event store, and back. */
  readonly objectNetwork: readonly [from: number, to: number];
  /** One call at the store, without its rows. A store does one at a time. */
  readonly objectCall: number;
  /** Each row that the call changes. */
  readonly objectRow: number;
  /** From a consumer to D1, and back. */
  readonly d1Network: readonly [from: number, to: number];
  /** One query at D1, without its rows. D1 does one at a time. */
  readonly d1Query: number;
  readonly d1Row: number;
  /** A `send` or `sendBatch`. */
  readonly queueSend: readonly [from: number, to: number];
  /** From a message that is stored, or due again, to its batch. */
  readonly queueLatency: readonly [from: number, to: number];
  /** From a consumer to a listener, and back. */
  readonly listenerNetwork: number;
}

export const TIMES: Times = {
  objectNetwork: [10, 30],
  objectCall: 5,
  objectRow: 0.05,
  d1Network: [10, 30],
  d1Query: 1,
  d1Row: 0.01,
  queueSend: [5, 15],
  queueLatency: [5, 25],
  listenerNetwork: 0,
};

/** Processor time of an invocation, ms. The code does not see it pass: the platform's clock stands still meanwhile. */
export const CPU = {
  /** An RS256 signature with what belongs to it: 0.66 ms bare, 0.9 to 1 ms in the bench ("ceiling"). */
  sign: 1,
  /** A request, its answer, and the report of it: assumed, from `npm run bench:profile`. */
  attempt: 0.2,
  /** One event of a message: parsing and checking it. Assumed. */
  event: 0.02,
  /** One event matched against one subscription by its type. Assumed. */
  match: 0.0005,
};

/** Steps of filters (contract 4) in a millisecond of processor time: `npm run filters` measures it. */
export const STEPS_PER_MS = 150_000;

/** How a queue adds consumers: it looks only when a batch ends (queues/configuration/consumer-concurrency). */
export interface Scaling {
  readonly first: number;
  /** Consumers added after a batch while messages wait. The documentation gives no number. */
  readonly added: number;
  /** Messages that a queue takes in a second; absent: the platform's limit. */
  readonly messagesPerSecond?: number;
}

export const SCALING: Scaling = { first: 1, added: 1 };

/** What the model reads of wrangler.toml. */
export interface Deployment {
  readonly producers: readonly { readonly binding: string; readonly queue: string }[];
  readonly consumers: readonly Consumer[];
  readonly objects: readonly { readonly name: string; readonly class_name: string }[];
  readonly databases: readonly { readonly binding: string }[];
  readonly rateLimits: readonly { readonly name: string }[];
  readonly vars: Readonly<Record<string, string>>;
  readonly cpuMs: number;
  readonly subrequests: number;
  /** Whether a batch ends only with the last promise of `waitUntil`. */
  readonly waitsForWaitUntil: boolean;
}

export interface Consumer {
  readonly queue: string;
  readonly max_batch_size?: number;
  readonly max_batch_timeout?: number;
  readonly max_retries?: number;
  readonly max_concurrency?: number | null;
  readonly dead_letter_queue?: string;
  readonly retry_delay?: number;
}
