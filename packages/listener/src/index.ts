/** Receive security event tokens: verify each one, drop repeats, answer as RFC 8935 has it. */
export { onHono } from './hono.ts';
export { onNode } from './node.ts';
export { createReceiver, type Receiver, type ReceiverOptions } from './receive.ts';
export { RecentIds, type SeenIds, type Take } from './seen.ts';
export {
  type Claims,
  createVerifier,
  KeysUnavailable,
  Refusal,
  type RefusalCode,
  type Verifier,
  type VerifierOptions,
} from './verify.ts';
export { onWorkers, type WorkerHandler } from './workers.ts';
