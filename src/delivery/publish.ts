/**
 * Publishing (contract 10.1): checks the events, fixes their ids and their time of acceptance, and queues them in one send,
 * all or nothing. A repeat is harmless because the producer's `id` is the event id.
 */
import type { Fault } from '../domain/errors.ts';
import { checkPublishedEvent, type EventType, type IdentityEvent } from '../domain/event.ts';
import { newEventIds } from '../domain/ids.ts';
import { jsonSizeExceeds } from '../domain/json-size.ts';
import { FAULTS_MAX, PUBLISH_INPUT_MAX_SIZE, PUBLISH_MAX_EVENTS } from '../domain/limits.ts';
import { fitsOneSend, packEvents, type Sender, sendAll } from '../outbound/queues.ts';

interface Published {
  readonly id: string;
  readonly type: EventType;
}

type PublishResult =
  | { readonly ok: true; readonly events: readonly Published[] }
  | { readonly ok: false; readonly faults: readonly Fault[] };

const TOO_MUCH: Fault = { name: 'body', reason: 'is more than can be queued at once: split it' };

/**
 * Publishes one event or an array of them.
 * @param now the time of acceptance, ms
 * @param customerId the customer of an HTTPS call; absent, every event names its own
 * @param requestId the id of the call, if its messages may say it (`TRACE_REQUESTS`, contract 10.6)
 * @returns ids and types in the order given, once the events are durably queued; or faults, and nothing is queued. Events after the
 *   first 100 faults are not judged
 * @throws Outage when the queue did not take them: the caller repeats with the same ids
 */
export async function publish(
  queue: Sender,
  input: unknown,
  now: number,
  customerId?: string,
  requestId?: string,
): Promise<PublishResult> {
  const many = Array.isArray(input);
  const raws: readonly unknown[] = many ? input : [input];
  if (raws.length === 0 || raws.length > PUBLISH_MAX_EVENTS) {
    return { ok: false, faults: [{ name: 'body', reason: `must hold 1 to ${PUBLISH_MAX_EVENTS} events` }] };
  }
  if (jsonSizeExceeds(input, PUBLISH_INPUT_MAX_SIZE)) return { ok: false, faults: [TOO_MUCH] };
  let fresh: readonly string[] | undefined;
  const freshId = (position: number) => {
    fresh ??= newEventIds(now, raws.length, crypto.getRandomValues(new Uint8Array(16)));
    return fresh[position] as string;
  };
  const faults: Fault[] = [];
  const events: IdentityEvent[] = [];
  const traced = requestId === undefined ? {} : { requestId };
  for (const [position, raw] of raws.entries()) {
    if (faults.length > FAULTS_MAX) break;
    const check = checkPublishedEvent(raw, now, customerId);
    if (check.ok) events.push({ ...check.event, id: check.event.id ?? freshId(position), ...traced });
    else faults.push(...check.faults.map((fault) => (many ? atPosition(fault, position) : fault)));
  }
  if (faults.length > 0) return { ok: false, faults };
  const messages = packEvents(events, now);
  if (!fitsOneSend(messages)) return { ok: false, faults: [TOO_MUCH] };
  await sendAll(queue, messages);
  return { ok: true, events: events.map(({ id, type }) => ({ id, type })) };
}

/** `attributes` → `[3].attributes`; a fault of the whole event → `[3]`. */
function atPosition(fault: Fault, position: number): Fault {
  return { ...fault, name: fault.name === 'event' ? `[${position}]` : `[${position}].${fault.name}` };
}
