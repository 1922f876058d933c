/** A receiver as a Worker of Cloudflare. */
import { createReceiver, type Receiver, type ReceiverOptions } from './receive.ts';

/** The part of a Worker that takes requests. */
export interface WorkerHandler<Env> {
  fetch(
    request: Request,
    env: Env,
    context: { waitUntil(promise: Promise<unknown>): void },
  ): Promise<Response>;
}

/**
 * `export default onWorkers((env: Env) => ({ … }))`. Makes one receiver in each isolate, so that requests share its keys and
 * its ids. The work goes on for up to 30 s when the sender goes away. Isolates share no memory and end at any time: give a
 * store as `seen`, or store each event under its `jti`.
 * @param options called with the bindings at the first request
 */
export function onWorkers<Env>(options: (env: Env) => ReceiverOptions): WorkerHandler<Env> {
  let receive: Receiver | undefined;
  return {
    fetch: (request, env, context) => {
      receive ??= createReceiver(options(env));
      const answer = receive(request);
      context.waitUntil(answer);
      return answer;
    },
  };
}
