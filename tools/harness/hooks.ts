/**
 * Listeners for load: one server on 127.0.0.1 with a path ("hook") for each subscription. A program sets each hook's
 * mood. The hook records when each event first arrived, and how often an event came again after a 2xx.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** How a hook answers: 204, 503, by closing the connection, or never. */
export type Mood = 'well' | 'refusing' | 'resetting' | 'hanging';

export class Hook {
  readonly url: string;
  mood: Mood = 'well';
  /** How long a hook that is well takes to answer, ms. */
  delayMs = 0;
  /** Event id → when its first request arrived, ms as of `performance.now()`. */
  readonly arrivals = new Map<string, number>();
  /** Ids of events answered with 2xx. */
  readonly delivered = new Set<string>();
  /** How many requests were for an event already answered with 2xx. */
  repeats = 0;

  constructor(url: string) {
    this.url = url;
  }
}

export interface Hooks {
  readonly all: readonly Hook[];
  close(): Promise<void>;
}

/** Starts a server with `count` hooks. */
export async function startHooks(count: number): Promise<Hooks> {
  const server = createServer((request, response) => {
    handle(hooks, request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const hooks = Array.from({ length: count }, (_, index) => new Hook(`http://127.0.0.1:${port}/${index}`));
  return {
    all: hooks,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

async function handle(
  hooks: readonly Hook[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const arrivedAt = performance.now();
  const hook = hooks[Number(request.url?.slice(1))];
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) body += chunk as string;
  if (hook === undefined) throw new Error('no such hook');
  const eventId = eventIdOf(body);
  if (!hook.arrivals.has(eventId)) hook.arrivals.set(eventId, arrivedAt);
  switch (hook.mood) {
    case 'well':
      if (hook.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, hook.delayMs));
      if (hook.delivered.has(eventId)) hook.repeats++;
      hook.delivered.add(eventId);
      response.writeHead(204).end();
      return;
    case 'refusing':
      response.writeHead(503).end();
      return;
    case 'resetting':
      request.socket.resetAndDestroy();
      return;
    case 'hanging':
      return; // no answer: the service ends the attempt at its time limit
  }
}

/** The event of a SET. Other tests check the signature. */
function eventIdOf(set: string): string {
  const payload = JSON.parse(Buffer.from(set.split('.')[1] ?? '', 'base64url').toString());
  const [event] = Object.values(payload.events as Record<string, { id: string }>);
  return event?.id ?? '';
}

/**
 * @param share from 0 to 1
 * @returns the value below which that share of the values is; `undefined` if there are none
 */
export function percentile(values: readonly number[], share: number): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}
