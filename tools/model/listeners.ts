/** Listeners of customers: how they answer, and what arrived at them. */
import { type Clock, currentActor, runAs } from './clock.ts';
import { currentInvocation } from './invocation.ts';
import { CPU, type Times } from './platform.ts';

/** How long an answer takes, ms. */
export type Latency = number | { readonly median: number; readonly sigma: number };

export type Mood =
  | {
      readonly kind: 'well';
      readonly latency: Latency;
      /** It is behind a proxy whose headers differ in each answer. */
      readonly behindProxy?: true;
    }
  /** Never an answer. */
  | { readonly kind: 'hanging' }
  /** 503 at once. */
  | { readonly kind: 'refusing' }
  /** 503 to the first request of each event, then well. */
  | { readonly kind: 'refusing once'; readonly latency: Latency }
  /** Well and hanging in turn, for so long each. */
  | { readonly kind: 'flapping'; readonly latency: Latency; readonly everyMs: number }
  /** 429 beyond so many requests in a second. */
  | { readonly kind: 'limited'; readonly latency: Latency; readonly perSecond: number };

interface Reply {
  readonly status: number;
  /** `Infinity`: none. */
  readonly afterMs: number;
}

/** Requests at once to one host. */
export class HostMeter {
  underWay = 0;
  most = 0;

  begin(): void {
    this.underWay++;
    this.most = Math.max(this.most, this.underWay);
  }
}

export class Hook {
  readonly url: string;
  readonly customer: string;
  mood: Mood;
  /** Event id → times, ms: the first request, and the first that got a 2xx. */
  readonly firstRequest = new Map<string, number>();
  readonly delivered = new Map<string, number>();
  /** Event id → when the store had the success. */
  readonly stored = new Map<string, number>();
  requests = 0;
  /** Requests on their way to its host, shared with the other listeners there. */
  readonly host: HostMeter;
  /** Requests for an event that had got a 2xx already. */
  repeats = 0;
  /** Of so many events one is remembered: a long run of a busy subscription has too many. */
  readonly sampleOf: number;
  #second = { at: 0, requests: 0 };

  constructor(url: string, customer: string, mood: Mood, host: HostMeter, sampleOf: number) {
    this.sampleOf = sampleOf;
    this.host = host;
    this.url = url;
    this.customer = customer;
    this.mood = mood;
  }

  answer(eventId: string, now: number, random: () => number): Reply {
    this.requests++;
    const isSampled = isInSample(eventId, this.sampleOf);
    const isFirst = !this.firstRequest.has(eventId);
    if (isFirst && isSampled) this.firstRequest.set(eventId, now);
    const reply = this.#reply(isFirst, now, random);
    if (reply.status < 300 && reply.afterMs !== Number.POSITIVE_INFINITY) {
      if (this.delivered.has(eventId)) this.repeats++;
      else if (isSampled) this.delivered.set(eventId, now);
    }
    return reply;
  }

  #reply(isFirst: boolean, now: number, random: () => number): Reply {
    const { mood } = this;
    const never = { status: 200, afterMs: Number.POSITIVE_INFINITY };
    switch (mood.kind) {
      case 'well':
        return { status: 204, afterMs: sample(mood.latency, random) };
      case 'hanging':
        return never;
      case 'refusing':
        return { status: 503, afterMs: 20 };
      case 'refusing once':
        return { status: isFirst ? 503 : 204, afterMs: sample(mood.latency, random) };
      case 'flapping':
        if (Math.floor(now / mood.everyMs) % 2 === 1) return never;
        return { status: 204, afterMs: sample(mood.latency, random) };
      case 'limited': {
        const second = Math.floor(now / 1000);
        if (this.#second.at !== second) this.#second = { at: second, requests: 0 };
        this.#second.requests++;
        return {
          status: this.#second.requests > mood.perSecond ? 429 : 204,
          afterMs: sample(mood.latency, random),
        };
      }
    }
  }
}

/** Whether an event is one of those that are remembered. */
export function isInSample(eventId: string, sampleOf: number): boolean {
  return sampleOf === 1 || Number.parseInt(eventId.slice(-6), 16) % sampleOf === 0;
}

function sample(latency: Latency, random: () => number): number {
  if (typeof latency === 'number') return latency;
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return latency.median * Math.exp(latency.sigma * normal);
}

/** What a large proxy adds: ids, cookies and tokens, which do not compress. */
function proxyHeaders(random: () => number): Headers {
  const hex = (digits: number) =>
    Array.from({ length: digits }, () => Math.floor(random() * 16).toString(16)).join('');
  return new Headers({
    date: 'Tue, 24 Nov 2026 12:00:00 GMT',
    server: 'awselb/2.0',
    'content-type': 'application/json',
    'x-amzn-trace-id': `Root=1-${hex(8)}-${hex(24)}`,
    'x-amzn-requestid': `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(12)}`,
    'set-cookie': `AWSALB=${hex(128)}; Path=/`,
    nel: '{"success_fraction":0,"report_to":"cf-nel","max_age":604800}',
    'report-to': `{"endpoints":[{"url":"https://reports.example/v4?s=${hex(120)}"}],"max_age":604800}`,
  });
}

interface FetchOptions {
  readonly body?: string;
  readonly signal?: AbortSignal;
}

/**
 * The global `fetch` of the model. It takes one of the six connections until headers come or the caller aborts.
 * @param eventIdOf the event that a body is about
 */
export function createFetch(
  hooks: ReadonlyMap<string, Hook>,
  eventIdOf: (body: string) => string,
  { clock, random, times }: { clock: Clock; random: () => number; times: Times },
) {
  const plain = new Headers({ date: 'Tue, 24 Nov 2026 12:00:00 GMT', connection: 'keep-alive' });
  return async (url: string, { body = '', signal }: FetchOptions = {}): Promise<unknown> => {
    const invocation = currentInvocation();
    if (invocation === undefined) throw new Error('a request outside an invocation');
    const hook = hooks.get(url);
    if (hook === undefined) throw new Error('DNS: the name has no address');
    invocation.subrequest();
    invocation.work(CPU.attempt);
    return await new Promise((resolve, reject) => {
      let isOver = false;
      let hasConnection = false;
      let hasBegun = false;
      let leave = (): void => undefined;
      const over = () => {
        isOver = true;
        if (hasBegun) hook.host.underWay--;
        signal?.removeEventListener('abort', abort);
      };
      const abort = () => {
        if (isOver) return;
        over();
        leave();
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', abort);
      const use = () => {
        hasConnection = true;
        const startAt = Math.max(clock.now, currentActor()?.busyUntil ?? 0) + times.listenerNetwork / 2;
        const cancelStart = clock.at(startAt, () => {
          hook.host.begin();
          hasBegun = true;
          const { status, afterMs } = hook.answer(eventIdOf(body), clock.now, random);
          if (afterMs === Number.POSITIVE_INFINITY) return;
          clock.at(
            clock.now + afterMs + times.listenerNetwork / 2,
            () => {
              if (isOver) return;
              over();
              invocation.release();
              const headers = 'behindProxy' in hook.mood ? proxyHeaders(random) : plain;
              resolve({ status, ok: status < 300, headers, body: null, text: async () => '' });
            },
            invocation,
          );
        });
        leave = () => {
          cancelStart();
          invocation.release();
        };
      };
      const leaveLine = invocation.connect(() => runAs(invocation, use));
      if (!hasConnection) leave = leaveLine;
    });
  };
}
