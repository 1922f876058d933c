/**
 * A producer: a Worker of yours that knows when a profile changes. It takes changes over HTTP (instead of your own code), as one
 * event or an array of events, and publishes them: by its queue binding or, with `?via=rpc`, by a call that checks them first.
 *
 * | Status | When |
 * |---|---|
 * | 202 with `ids` | the events are durably queued |
 * | 400 with `faults` | nothing was published; each fault has the `name` of a member and a `reason` |
 * | 405, 413 | it is not a POST, or too large for a queue message |
 * | 503 with `ids` and `Retry-After` | nothing is known to be queued: send the events again with these ids |
 */
import { v7 } from 'uuid';

interface WebhookEvent {
  customerId: string;
  type: 'entityCreated' | 'entityUpdated' | 'entityDeleted';
  /** UUID version 7. The same id makes one event, however often it is published. */
  id: string;
  occurredAt?: string;
  captureApplicationId: string;
  captureClientId: string;
  entityType: string;
  sub: string;
  attributes?: string[];
}

interface Env {
  WEBHOOK_EVENTS: Queue<WebhookEvent[]>;
  WEBHOOKS: { publish(events: WebhookEvent[]): Promise<string[]> };
}

interface Fault {
  /** The member, such as `sub` or `[3].attributes`; `body` for the whole body. */
  readonly name: string;
  readonly reason: string;
}

/** A queue message has at most 128 KB. The ids that are added here need room too. */
const BODY_MAX_BYTES = 100_000;
const EVENTS_MAX = 500;

export default {
  async fetch(request, env): Promise<Response> {
    if (request.method !== 'POST') return new Response(null, { status: 405, headers: { allow: 'POST' } });
    const body = await request.arrayBuffer();
    if (body.byteLength > BODY_MAX_BYTES) {
      return refused(413, [{ name: 'body', reason: `must be at most ${BODY_MAX_BYTES} bytes; split it` }]);
    }
    const given = parse(body);
    const events = listIn(given);
    if (events === undefined) {
      const reason = `must be JSON: an event, or an array of 1 to ${EVENTS_MAX} events`;
      return refused(400, [{ name: 'body', reason }]);
    }
    const ids = events.map(({ id }) => id);
    try {
      if (new URL(request.url).searchParams.get('via') === 'rpc') await env.WEBHOOKS.publish(events);
      // The queue checks nothing: an event with a fault becomes a dead letter, which the operator of the service sees.
      else await env.WEBHOOK_EVENTS.send(events, { contentType: 'json' });
    } catch (error) {
      const faults = faultsIn(error);
      if (faults !== undefined) return refused(400, Array.isArray(given) ? faults : faults.map(ofOneEvent));
      console.error('not published', error);
      return Response.json({ ids }, { status: 503, headers: { 'retry-after': '1' } });
    }
    return Response.json({ ids }, { status: 202 });
  },
} satisfies ExportedHandler<Env>;

function refused(status: number, faults: readonly Fault[]): Response {
  return Response.json({ faults }, { status });
}

/** @returns `undefined` for what is not JSON in UTF-8 */
function parse(body: ArrayBuffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(body));
  } catch {
    return undefined;
  }
}

/** The events of a body, each with an id, so that publishing them again is harmless. The service checks the rest. */
function listIn(given: unknown): WebhookEvent[] | undefined {
  const list = Array.isArray(given) ? given : [given];
  if (list.length === 0 || list.length > EVENTS_MAX) return undefined;
  if (list.some((one) => typeof one !== 'object' || one === null || Array.isArray(one))) return undefined;
  return list.map((event: WebhookEvent) => ({ ...event, id: event.id ?? v7() }));
}

/** The faults that `publish` rejects with, as a JSON array in the message of its error; `undefined` for any other error. */
function faultsIn(error: unknown): Fault[] | undefined {
  try {
    const faults: unknown = JSON.parse((error as Error).message);
    return Array.isArray(faults) ? faults : undefined;
  } catch {
    return undefined;
  }
}

/** A fault of the only event: the caller did not send an array, so a position means nothing to it. */
function ofOneEvent({ name, reason }: Fault): Fault {
  return { name: name.replace(/^\[0\]\.?/, '') || 'event', reason };
}
