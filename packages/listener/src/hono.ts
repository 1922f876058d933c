/** A receiver in an application of Hono. */
import type { Receiver } from './receive.ts';

/** What a receiver uses of Hono's `Context`. */
interface HonoContext {
  readonly req: { readonly raw: Request; arrayBuffer(): Promise<ArrayBuffer> };
  /** Throws where the platform has none, such as Node. */
  readonly executionCtx: { waitUntil(promise: Promise<unknown>): void };
}

/** `app.post('/hooks', onHono(createReceiver({ … })))`. A middleware before it may have read the body by `c.req`. */
export function onHono(receive: Receiver): (context: HonoContext) => Promise<Response> {
  return async (context) => {
    const { raw } = context.req;
    const { headers } = raw;
    const request = raw.bodyUsed
      ? new Request(raw.url, { method: raw.method, headers, body: await context.req.arrayBuffer() })
      : raw;
    const answer = receive(request);
    try {
      context.executionCtx.waitUntil(answer); // the work goes on when the sender goes away
    } catch {} // no such platform
    return answer;
  };
}
