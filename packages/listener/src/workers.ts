/** A receiver as a Worker of Cloudflare. */
import { createReceiver, type Receiver, type ReceiverOptions } from './receive.ts';

interface ExecutionContext {
  waitUntil(promise: Promise<unknown>): void;
}

/**
 * `export default onWorkers((env: Env) => ({ … }))`. Makes one receiver in each isolate, so that requests share its keys and
 * its ids. The work goes on for up to 30 s when the sender goes away. Isolates share no memory and end at any time: give a
 * store as `seen`, or store each event under its `jti`.
 * @param options called with the bindings at the first request
 */
export function onWorkers<Env>(options: (env: Env) => ReceiverOptions): {
  fetch(request: Request, env: Env, context: ExecutionContext): Promise<Response>;
} {
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
