/**
 * `npm run bench:profile`: which functions of the event path take the time. It publishes in arrays of 100, or one by one with
 * `--single`, or a hundred a second with `--steady`, to one subscription or, with `--ten`, to ten, while the runtime samples its stack, and
 * prints the functions with the most time of their own. `--out FILE` keeps the profile for a browser's tools.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { startHooks } from '../harness/hooks.ts';
import { freePort } from '../harness/service.ts';
import { newCustomer, subscribe } from '../harness/tenant.ts';
import { flood, sendAs, steadily } from './load.ts';
import { buildWorker, removeBuild, startRuntime } from './runtime.ts';

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    single: { type: 'boolean', default: false },
    steady: { type: 'boolean', default: false },
    ten: { type: 'boolean', default: false },
  },
});
const SUBSCRIPTIONS = values.ten ? 10 : 1;
const EVENTS = 3000 / SUBSCRIPTIONS;
const DELIVERIES = EVENTS * SUBSCRIPTIONS;
const PER_SECOND = 100;
const SHOWN = 40;
const SAMPLED_EVERY_US = 200;
/** While the isolate rests there is no sample. What comes after a rest is not what took the time. */
const SAMPLE_MAX_US = 2 * SAMPLED_EVERY_US;

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** A client of the runtime's inspector, with the calls that a profile needs. */
class Inspector {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (result: unknown) => void>();
  #sequence = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => {
      const { id, result } = JSON.parse(String(data));
      this.#waiting.get(id)?.(result);
    });
  }

  static async open(port: number): Promise<Inspector> {
    const targets = (await (await fetch(`http://127.0.0.1:${port}/json`)).json()) as {
      webSocketDebuggerUrl: string;
    }[];
    const socket = new WebSocket(targets[0]?.webSocketDebuggerUrl ?? '');
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve);
      socket.addEventListener('error', () => reject(new Error('the inspector does not answer')));
    });
    return new Inspector(socket);
  }

  async call<T>(method: string, params: object = {}): Promise<T> {
    const id = ++this.#sequence;
    this.#socket.send(JSON.stringify({ id, method, params }));
    return (await new Promise<unknown>((resolve) => this.#waiting.set(id, resolve))) as T;
  }
}

function print({ nodes, samples, timeDeltas }: Profile): void {
  const names = new Map(
    nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => [
      id,
      `${functionName || '(anonymous)'} ${url.split('/').at(-1)}:${lineNumber + 1}`,
    ]),
  );
  const own = new Map<string, number>();
  for (const [index, id] of samples.entries()) {
    const name = names.get(id) ?? '';
    own.set(name, (own.get(name) ?? 0) + Math.min(timeDeltas[index] ?? 0, SAMPLE_MAX_US));
  }
  const busy = [...own].filter(([name]) => !name.startsWith('(idle)'));
  const total = busy.reduce((sum, [, time]) => sum + time, 0);
  for (const [name, time] of busy.sort(([, a], [, b]) => b - a).slice(0, SHOWN)) {
    console.log(
      `${((100 * time) / total).toFixed(1).padStart(5)} %  ${(time / 1000).toFixed(0).padStart(6)} ms  ${name}`,
    );
  }
  console.log(
    `${(total / 1000 / DELIVERIES).toFixed(3)} ms sampled a delivery: shares count, some samples are lost`,
  );
}

const build = await buildWorker(undefined, true);
const port = await freePort();
const runtime = await startRuntime(build, {}, port);
try {
  const hooks = await startHooks(SUBSCRIPTIONS);
  const customer = await newCustomer(runtime);
  await subscribe(
    customer,
    hooks.all.map(({ url }) => url),
  );
  await flood(sendAs(customer), hooks.all, 500, 100);
  const inspector = await Inspector.open(port);
  await inspector.call('Profiler.enable');
  await inspector.call('Profiler.setSamplingInterval', { interval: SAMPLED_EVERY_US });
  await inspector.call('Profiler.start');
  if (values.steady) await steadily(sendAs(customer), hooks.all, PER_SECOND, EVENTS / PER_SECOND);
  else await flood(sendAs(customer), hooks.all, EVENTS, values.single ? 1 : 100);
  const { profile } = await inspector.call<{ profile: Profile }>('Profiler.stop');
  if (values.out !== undefined) writeFileSync(values.out, JSON.stringify(profile));
  print(profile);
} finally {
  await runtime.stop();
  removeBuild(build);
}
process.exit(0);
