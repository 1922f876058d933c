/**
 * What a story needs: the service with throw-away state, a customer with a client, listeners as programs of their own, and a voice.
 * A story is run by `tell`, which ends everything and sets the exit code.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { type components, OperatorClient, WebhooksClient, WebhooksError } from '@identity-webhooks/client';
import { endGroup, pause, whenAskedToEnd } from './processes.ts';
import { freePort, type Home, launchService, makeHome, type RunningService } from './service.ts';

export type NewSubscription = components['schemas']['NewSubscription'];

/** A safety net, ms. */
const GIVE_UP_MS = 60_000;

export interface RunningListener {
  /** What it has printed. */
  output(): string;
  /** Waits until it has printed a text so many times. */
  printed(text: string, times?: number): Promise<void>;
  /** Ends it with SIGKILL: it has no time to save anything. */
  kill(): Promise<void>;
}

export class Stage {
  readonly home: Home;
  readonly customer: WebhooksClient;
  /** Port and endpoint of the listener. */
  readonly port: number;
  readonly endpoint: string;
  readonly #service: RunningService;
  readonly #listeners: ChildProcess[];

  constructor(
    home: Home,
    service: RunningService,
    customer: WebhooksClient,
    port: number,
    listeners: ChildProcess[],
  ) {
    this.home = home;
    this.#service = service;
    this.customer = customer;
    this.port = port;
    this.endpoint = `http://127.0.0.1:${port}/hooks`;
    this.#listeners = listeners;
  }

  /** Subscribes the listener. @returns the subscription's id */
  async subscribe(body: Omit<NewSubscription, 'endpoint'>): Promise<string> {
    return (await this.customer.call('createSubscription', { body: { ...body, endpoint: this.endpoint } }))
      .id;
  }

  /** Starts a listener that takes its settings from the environment, and waits until it listens. */
  async startListener(program: string, settings: Readonly<Record<string, string>>): Promise<RunningListener> {
    const url = `${this.#service.url}/${this.customer.customerId}`;
    const child = spawn(process.execPath, [program], {
      env: {
        ...process.env,
        JWKS_URL: `${url}/login/jwk`,
        ISSUER: `${url}/webhooks`,
        AUDIENCE: this.endpoint,
        PORT: String(this.port),
        ...settings,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true, // a process group of its own
    });
    this.#listeners.push(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    const listener = {
      output: () => output,
      printed: async (text: string, times = 1) =>
        await until(() => output.split(text).length > times, `the listener's "${text}" in:\n${output}`),
      kill: async () => await endGroup(child, 'SIGKILL'),
    };
    await listener.printed('listening on');
    return listener;
  }

  /** The token of an event, as its event store keeps it. The store has the event once its first attempt has ended. */
  async tokenOf(sid: string, eid: string): Promise<string> {
    let token = '';
    const isStored = async () => {
      try {
        token = (await this.customer.call('getEvent', { sid, eid })).request.payload;
        return true;
      } catch (error) {
        if (error instanceof WebhooksError && error.trouble.kind === 'not-found') return false;
        throw error;
      }
    };
    await until(isStored, `the event ${eid}`);
    return token;
  }

  /** Sends a token to the listener once more, as the service does when it got no answer. @returns the status */
  async sendAgain(token: string): Promise<number> {
    const headers = { 'content-type': 'application/secevent+jwt' };
    return (await fetch(this.endpoint, { method: 'POST', headers, body: token })).status;
  }
}

/** @throws Error that names what does not come */
export async function until(done: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const deadline = Date.now() + GIVE_UP_MS; !(await done()); await pause(50)) {
    if (Date.now() > deadline) throw new Error(`this does not come: ${what}`);
  }
}

export function say(text: string): void {
  console.log(text);
}

/** @throws Error if a story does not go as it says */
export function check(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new Error(otherwise);
}

/**
 * Runs a story on a stage, and ends the process: exit code 0 if the story went as it says, 1 if not, 130 after Ctrl-C. Nothing is left
 * behind.
 */
export async function tell(story: (stage: Stage) => Promise<void>): Promise<never> {
  const home = makeHome();
  const listeners: ChildProcess[] = [];
  let service: RunningService | undefined;
  const end = async (code: number): Promise<never> => {
    await Promise.all(listeners.map((child) => endGroup(child, 'SIGKILL')));
    await service?.stop();
    home.remove();
    process.exit(code);
  };
  whenAskedToEnd((code) => void end(code));
  try {
    say('The service starts, with an empty database; this takes about half a minute.');
    const launched = launchService(home, {}, await freePort());
    service = launched;
    await launched.ready();
    const operator = new OperatorClient({ baseUrl: launched.url, token: home.operatorToken });
    const { id: customerId } = await operator.call('createCustomer', { body: { name: 'Acme' } });
    const client = await operator.call('createClient', { cid: customerId, body: { name: 'backend' } });
    const customer = new WebhooksClient({ baseUrl: launched.url, customerId, ...client });
    await story(new Stage(home, launched, customer, await freePort(), listeners));
    return await end(0);
  } catch (error) {
    console.error(`\nThe story went wrong: ${error instanceof Error ? error.message : error}`);
    return await end(1);
  }
}
