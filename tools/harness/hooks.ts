/**
 * Listeners for load: one server on 127.0.0.1 with a path for each subscription, each in a mood that may change. It
 * remembers when each event first came and how often one came again after it was answered with 2xx.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Mood = 'well' | 'refusing' | 'resetting' | 'hanging';

export class Hook {
  readonly url: string;
  mood: Mood = 'well';
  /** Event id → when its request first came, ms. */
  readonly arrivals = new Map<string, number>();
  /** Events answered with 2xx. */
  readonly delivered = new Set<string>();
  /** Requests for events that had been answered with 2xx before. */
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
      return; // until the service has had enough
  }
}

/** The event a SET tells of; these tokens are our own service's, their signatures are for other tests to check. */
function eventIdOf(set: string): string {
  const payload = JSON.parse(Buffer.from(set.split('.')[1] ?? '', 'base64url').toString());
  const [event] = Object.values(payload.events as Record<string, { id: string }>);
  return event?.id ?? '';
}

/** The value below which a share of all lies; `undefined` of nothing. */
export function percentile(values: readonly number[], share: number): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}
