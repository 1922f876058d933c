/** One run of the command line: its global options, its clients, and how it speaks. Commands get a session and nothing else. */
import { styleText } from 'node:util';
import { OperatorClient, WebhooksClient } from '@identity-webhooks/client';
import type { Caller } from './explain.ts';
import { Failure, interrupted, usage } from './failure.ts';
import { agree, isInteractive } from './prompt.ts';
import { type Settings, settingsOf, type Target } from './settings.ts';
import { type Column, tableOf } from './table.ts';
import { safe } from './text.ts';
import type { Output, World } from './world.ts';

/** Options that every command has. */
export interface GlobalOptions extends Target {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly yes?: boolean;
  readonly debug?: boolean;
  /** Sent with each call as its `X-Request-Id`. */
  readonly requestId?: string;
}

/** What an operation that answers with a list is shown as. */
export interface Listing<Item> {
  readonly items: readonly Item[];
  readonly columns: readonly Column<Item>[];
  /** What `--quiet` prints of an item. */
  readonly idOf: (item: Item) => string;
  /** What there is none of, as in "No subscriptions." */
  readonly none: string;
}

/** Calls are made again so often after a 429 or a 503, after waits of at most so long. A person sees each wait. */
const RETRIES = 3;
const WAIT_MAX_MS = 20_000;
const TIMEOUT_MS = 30_000;
/** Without a terminal a line of progress is written this often, ms. */
const PROGRESS_EVERY_MS = 10_000;

export class Session {
  readonly world: World;
  readonly options: GlobalOptions;
  /** Whose credentials the last client has; an error is explained by it. */
  caller: Caller | undefined;
  #progressAt = 0;
  #progressShown = false;

  constructor(world: World, options: GlobalOptions) {
    this.world = world;
    this.options = options;
  }

  get settings(): Settings {
    return settingsOf(this.world, this.options);
  }

  /** @throws Failure when the profile, the environment and the flags together have no client of a customer */
  customer(timeoutMs = TIMEOUT_MS): WebhooksClient {
    return this.customerOf(this.settings, timeoutMs);
  }

  customerOf(settings: Settings, timeoutMs = TIMEOUT_MS): WebhooksClient {
    const { url, customer, clientId, clientSecret, scope, profile } = settings;
    if (url === undefined) throw notLoggedIn(profile);
    const login = `iw login ${url} --customer CUSTOMER --client-id CLIENT`;
    if (customer === undefined || clientId === undefined || clientSecret === undefined) {
      if (settings.profileUrl !== undefined) throw ofAnotherUrl(settings, login);
      const lacking =
        customer === undefined
          ? 'no customer'
          : clientId === undefined
            ? 'no client for this customer'
            : 'no secret of the client';
      throw new Failure(
        'notAuthorised',
        `The profile ${profile} has ${lacking}.`,
        `Log in: ${login}${profile === 'default' ? '' : ` --profile ${profile}`}`,
      );
    }
    this.caller = { role: 'customer', settings };
    return new WebhooksClient({
      ...this.#transport(url, timeoutMs),
      customerId: customer,
      clientId,
      clientSecret,
      ...(scope === undefined ? {} : { scope }),
    });
  }

  /** @throws Failure when neither the profile nor the environment has an operator token */
  operator(): OperatorClient {
    return this.operatorOf(this.settings);
  }

  operatorOf(settings: Settings): OperatorClient {
    const { url, operatorToken, profile } = settings;
    if (url === undefined) throw notLoggedIn(profile);
    if (operatorToken === undefined) {
      if (settings.profileUrl !== undefined) throw ofAnotherUrl(settings, `iw login ${url} --operator`);
      throw new Failure(
        'notAuthorised',
        `The profile ${profile} has no operator token.`,
        `Log in: iw login ${url} --operator${profile === 'default' ? '' : ` --profile ${profile}`}`,
      );
    }
    this.caller = { role: 'operator', settings };
    return new OperatorClient({ ...this.#transport(url, TIMEOUT_MS), token: operatorToken });
  }

  /** The customer that a command of the operator is about. */
  customerId(): string {
    const { customer } = this.settings;
    if (customer === undefined)
      throw usage('Which customer?', 'Name it: --customer CUSTOMER. iw customers list shows the ids.');
    return customer;
  }

  #transport(baseUrl: string, timeoutMs: number) {
    const { world } = this;
    const requestId = this.#requestId();
    return {
      baseUrl,
      retries: RETRIES,
      waitMaxMs: WAIT_MAX_MS,
      timeoutMs,
      fetch: (request: Request) => {
        if (requestId !== undefined) request.headers.set('x-request-id', requestId);
        return world.fetch(new Request(request, { signal: AbortSignal.any([request.signal, world.signal]) }));
      },
      wait: async (ms: number) => {
        this.progress(`The service asks to wait ${Math.ceil(ms / 1000)} s …`);
        await this.wait(ms);
      },
    };
  }

  /** @throws Failure when the service would ignore it (contract 8) */
  #requestId(): string | undefined {
    const id = this.options.requestId ?? (this.world.env['IW_REQUEST_ID'] || undefined);
    if (id === undefined || /^[\w=-]{1,255}$/.test(id)) return id;
    throw usage('A request id has 1 to 255 letters, digits, "_", "=" and "-".');
  }

  /** @throws Failure on Ctrl-C */
  async wait(ms: number): Promise<void> {
    const { signal, wait } = this.world;
    await wait(ms, signal).catch((error: unknown) => {
      throw signal.aborted ? interrupted() : error;
    });
  }

  /** A list: a table for people, one JSON array for machines, ids alone for scripts. */
  list<Item>({ items, columns, idOf, none }: Listing<Item>): void {
    if (this.options.json) this.json(items);
    else if (this.options.quiet) for (const item of items) this.#line(safe(idOf(item)));
    else if (items.length === 0) this.note(`No ${none}.`);
    else this.table(items, columns);
  }

  table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): void {
    const { out } = this.world;
    const width = out.isTTY ? out.columns : undefined;
    for (const line of tableOf(rows, columns, width, (text) => this.bold(text))) this.#line(line);
  }

  /** One thing: its fields for people, the resource for machines, its id for scripts. */
  show(
    resource: unknown,
    id: string,
    fields: readonly (readonly [string, string | number | undefined])[],
  ): void {
    if (this.options.json) this.json(resource);
    else if (this.options.quiet) this.#line(safe(id));
    else this.fields(fields);
  }

  fields(fields: readonly (readonly [string, string | number | undefined])[]): void {
    const shown = fields.filter(([, value]) => value !== undefined && value !== '');
    const width = Math.max(...shown.map(([name]) => name.length));
    for (const [name, value] of shown) {
      this.#line(`${this.bold(name.padEnd(width))}  ${safe(String(value))}`);
    }
  }

  /** What was done: a sentence for people, a document for machines. */
  done(sentence: string, document: unknown): void {
    if (this.options.json) this.json(document);
    else if (!this.options.quiet) this.#line(safe(sentence));
  }

  /** @param indent spaces; 0 writes one line */
  json(document: unknown, indent = 2): void {
    this.#line(JSON.stringify(document, null, indent));
  }

  /** A line of the result, which the caller has made safe. */
  print(text: string): void {
    this.#line(text);
  }

  /** A line beside the result. */
  note(text: string): void {
    this.endProgress();
    this.world.err.write(`${safe(text)}\n`);
  }

  /** What a long command does: one line that changes in a terminal, a line now and then elsewhere; machines get none. */
  progress(text: string): void {
    const { err, now } = this.world;
    if (this.options.quiet) return;
    if (err.isTTY) {
      err.write(`\r\u001b[K${safe(text)}`);
      this.#progressShown = true;
    } else if (!this.options.json && now() - this.#progressAt >= PROGRESS_EVERY_MS) {
      this.#progressAt = now();
      err.write(`${safe(text)}\n`);
    }
  }

  endProgress(): void {
    if (this.#progressShown) this.world.err.write('\r\u001b[K');
    this.#progressShown = false;
  }

  bold(text: string): string {
    return this.#isColoured(this.world.out) ? styleText('bold', text, { validateStream: false }) : text;
  }

  /** https://no-color.org: any text in NO_COLOR means no colour. */
  #isColoured({ isTTY }: Output): boolean {
    const { env } = this.world;
    return isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  }

  /**
   * Asks before something that cannot be undone.
   * @throws Failure when the person does not agree, or cannot be asked
   */
  async confirm(question: string): Promise<void> {
    if (this.options.yes) return;
    this.endProgress();
    if (!isInteractive(this.world)) {
      throw usage(`Not done: ${question}`, 'Add --yes to do it without a question.');
    }
    if (!(await agree(this.world, safe(question)))) throw new Failure('failed', 'Not done.');
  }

  #line(text: string): void {
    this.endProgress();
    this.world.out.write(`${text}\n`);
  }
}

/** @param login the command that logs in at the URL that was named */
function ofAnotherUrl({ profile, url, profileUrl }: Settings, login: string): Failure {
  return new Failure(
    'notAuthorised',
    `The profile ${profile} is for ${profileUrl}, so its credentials are not sent to ${url}.`,
    `Leave out --url or IW_URL, choose a profile with --profile, or log in there: ${login} --profile OTHER`,
  );
}

function notLoggedIn(profile: string): Failure {
  return new Failure(
    'notAuthorised',
    `Not logged in: the profile ${profile} names no service.`,
    'Log in: iw login URL',
  );
}
