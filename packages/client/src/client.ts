/** The client of one customer: it fetches access tokens, and fills in the customer's id. */
import { v7 } from 'uuid';
import { Api, withHeader } from './api.ts';
import { bodyOf, errorOf } from './errors.ts';
import type { components } from './schema.ts';
import { Transport, type TransportOptions } from './transport.ts';
import type { ArgumentsOf, CustomerOperation } from './types.ts';

export interface ClientOptions extends TransportOptions {
  readonly customerId: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** What the tokens may do; all that the client may without it. */
  readonly scope?: string;
}

const EVERYTHING = '*:webhooks/**';
/** A token is fetched again so long before it ends, ms. */
const TOKEN_MARGIN_MS = 60_000;

interface Token {
  readonly text: string;
  /** ms */
  readonly until: number;
}

type Schemas = components['schemas'];
type PublishedEvent = Schemas['PublishedEvent'];
/** Which events of a subscription: see `listEvents`. */
export type EventsQuery = Omit<NonNullable<ArgumentsOf<'listEvents'>['query']>, 'fields'>;
/** An event without its request. */
export type EventSummary = Omit<Schemas['ListedEvent'], 'request'>;

export class WebhooksClient extends Api<CustomerOperation> {
  readonly customerId: string;
  readonly #options: ClientOptions;
  readonly #transport: Transport;
  #token: Promise<Token> | undefined;

  constructor(options: ClientOptions) {
    super({ cid: options.customerId });
    this.customerId = options.customerId;
    this.#options = options;
    this.#transport = new Transport(options);
  }

  /**
   * Fetches an access token, so that wrong credentials show before the first call.
   * @throws WebhooksError of kind `credentials` when the id or the secret is wrong, or of another kind
   */
  async checkCredentials(): Promise<void> {
    await this.#tokenText();
  }

  /**
   * Publishes events, 500 at most. An event without an id gets one here, so that a call that is made again publishes nothing twice.
   * @returns the ids in the order given, once the events are durably queued
   */
  async publish(events: readonly PublishedEvent[]): Promise<readonly string[]> {
    const body = events.map((event) => ({ ...event, id: event.id ?? v7() }));
    const { _embedded } = await this.call('publishEvents', { body });
    return _embedded.events.map(({ id }) => id);
  }

  /** Yields the events of a subscription, whole, one page after the other. */
  async *events(sid: string, query: EventsQuery = {}): AsyncGenerator<Schemas['Event'], void, undefined> {
    for await (const event of this.items('listEvents', { sid, query })) {
      // Only a summary lacks its request, and none was asked for.
      if (event.request !== undefined) yield { ...event, request: event.request };
    }
  }

  /** Yields the events of a subscription without their requests: a list of a thousand costs a tenth of the work. */
  async *eventSummaries(sid: string, query: EventsQuery = {}): AsyncGenerator<EventSummary, void, undefined> {
    yield* this.items('listEvents', { sid, query: { ...query, fields: 'summary' } });
  }

  /** Yields where an event went: its delivery to each subscription that has it. */
  async *deliveries(eid: string): AsyncGenerator<Schemas['Delivery'], void, undefined> {
    yield* this.items('listDeliveries', { eid });
  }

  /**
   * Asks what a bulk redelivery of failed events would send. Nothing is sent.
   * @throws WebhooksError with the status 202 from a service that is too old to know dry runs: it has started the redelivery
   */
  async previewRedelivery(
    sid: string,
    span: ArgumentsOf<'startRedelivery'>['body'] = {},
  ): Promise<Schemas['RedeliveryPreview']> {
    const answer = await this.ask('startRedelivery', { sid, body: { ...span, dryRun: true } });
    if (answer.status !== 200) throw await errorOf('startRedelivery', answer);
    return (await bodyOf('startRedelivery', answer)) as Schemas['RedeliveryPreview'];
  }

  /** Downloads a finished export, as it is stored: it may be large, so it comes as a stream. */
  async download(sid: string, exportId: string): Promise<ReadableStream<Uint8Array>> {
    const answer = await this.ask('downloadExport', { sid, exportId });
    return answer.body ?? new ReadableStream({ start: (controller) => controller.close() });
  }

  /** A token that no longer counts, because its secret was rotated for example, is fetched again once. */
  protected override async request(
    operation: CustomerOperation,
    path: string,
    init: RequestInit,
  ): Promise<Response> {
    const send = () =>
      this.#transport.send(operation, path, async () =>
        withHeader(init, 'authorization', `Bearer ${await this.#tokenText()}`),
      );
    const used = this.#token;
    let answer = await send();
    if (answer.status === 403 && used !== undefined) {
      this.#forget(used);
      await answer.body?.cancel();
      answer = await send();
    }
    if (!answer.ok) throw await errorOf(operation, answer);
    return answer;
  }

  /** Calls that begin at once share one token. */
  async #tokenText(): Promise<string> {
    for (;;) {
      const isNew = this.#token === undefined;
      this.#token ??= this.#fetchToken();
      const asked = this.#token;
      try {
        const { text, until } = await asked;
        if (isNew || until > Date.now()) return text;
      } catch (error) {
        this.#forget(asked);
        throw error;
      }
      this.#forget(asked);
    }
  }

  #forget(token: Promise<Token>): void {
    if (this.#token === token) this.#token = undefined;
  }

  async #fetchToken(): Promise<Token> {
    const { customerId, clientId, clientSecret, scope = EVERYTHING } = this.#options;
    const asked = Date.now();
    // RFC 6749, 2.3.1: id and secret are form-encoded before they are joined.
    const credentials = btoa(`${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`);
    const answer = await this.#transport.send('createToken', `/${customerId}/login/token`, async () => ({
      method: 'POST',
      headers: {
        authorization: `Basic ${credentials}`,
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: new URLSearchParams({ grant_type: 'client_credentials', scope }).toString(),
    }));
    if (!answer.ok) throw await errorOf('createToken', answer);
    const body = (await bodyOf('createToken', answer)) as Schemas['AccessToken'];
    return { text: body.access_token, until: asked + body.expires_in * 1000 - TOKEN_MARGIN_MS };
  }
}
