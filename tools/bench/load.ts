/** How the scenarios publish, and how they wait for the deliveries. */
import type { WebhooksClient } from '@identity-webhooks/client';
import type { Hook } from '../harness/hooks.ts';
import { pause } from '../harness/service.ts';
import { type NewEvent, newEvent, newEvents, publish } from '../harness/tenant.ts';

export const WAIT_AT_MOST_MS = 60_000;
const PRODUCERS = 10;

/** Waits until each hook has received that many events. */
export async function untilDelivered(hooks: readonly Hook[], count: number): Promise<void> {
  const deadline = performance.now() + WAIT_AT_MOST_MS;
  for (const hook of hooks) {
    while (hook.delivered.size < count) {
      if (performance.now() > deadline)
        throw new Error(`${hook.delivered.size} of ${count} delivered in time`);
      await pause(5);
    }
  }
}

export async function accepted(customer: WebhooksClient, events: readonly NewEvent[]): Promise<void> {
  if (!(await publish(customer, events))) throw new Error('a publish was not accepted');
}

/** Sends events as a producer does, and resolves when they are accepted. */
export type Send = (events: readonly NewEvent[]) => Promise<void>;

export const sendAs =
  (customer: WebhooksClient): Send =>
  (events) =>
    accepted(customer, events);

/**
 * Publishes from ten producers at once, each of which waits for its answers, then waits for the last delivery.
 * @returns seconds until the last event was accepted, and until the last was delivered
 */
export async function flood(
  send: Send,
  hooks: readonly Hook[],
  total: number,
  perCall: number,
): Promise<{ acceptedAfter: number; deliveredAfter: number }> {
  const before = hooks[0]?.delivered.size ?? 0;
  const calls = Array.from({ length: total / perCall }, () => newEvents(perCall));
  const next = calls[Symbol.iterator]();
  const started = performance.now();
  await Promise.all(
    Array.from({ length: PRODUCERS }, async () => {
      for (const events of next) await send(events);
    }),
  );
  const acceptedAfter = (performance.now() - started) / 1000;
  await untilDelivered(hooks, before + total);
  return { acceptedAfter, deliveredAfter: (performance.now() - started) / 1000 };
}

/** Publishes events one at a time: the next one after the delivery of the one before. */
export async function inTurn(customer: WebhooksClient, hooks: readonly Hook[], count: number): Promise<void> {
  for (const event of newEvents(count)) {
    const before = hooks[0]?.delivered.size ?? 0;
    await accepted(customer, [event]);
    await untilDelivered(hooks, before + 1);
  }
}

/**
 * Sends new events at a steady rate.
 * @returns latencies from the send to the first arrival, for each event and hook, ms
 */
export async function steadily(
  send: Send,
  hooks: readonly Hook[],
  perSecond: number,
  seconds: number,
): Promise<number[]> {
  const published = new Map<string, number>();
  const calls: Promise<void>[] = [];
  const start = performance.now();
  for (let index = 0; index < perSecond * seconds; index++) {
    await pause(Math.max(0, start + (index * 1000) / perSecond - performance.now()));
    const event = newEvent();
    published.set(event.id, performance.now());
    calls.push(send([event]));
  }
  await Promise.all(calls);
  const deadline = performance.now() + WAIT_AT_MOST_MS;
  while (hooks.some(({ arrivals }) => ![...published.keys()].every((id) => arrivals.has(id)))) {
    if (performance.now() > deadline) throw new Error('a delivery did not come');
    await pause(20);
  }
  return hooks.flatMap(({ arrivals }) => [...published].map(([id, at]) => (arrivals.get(id) ?? at) - at));
}
