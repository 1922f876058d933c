/** The client of the operator: customers, clients, keys, dead letters and the audit trail. */
import { Api, withHeader } from './api.ts';
import { errorOf } from './errors.ts';
import { Transport, type TransportOptions } from './transport.ts';
import type { OperatorOperation } from './types.ts';

export interface OperatorOptions extends TransportOptions {
  /** The `OPERATOR_TOKEN` of the service. */
  readonly token: string;
}

export class OperatorClient extends Api<OperatorOperation> {
  readonly #transport: Transport;
  readonly #token: string;

  constructor(options: OperatorOptions) {
    super({});
    this.#transport = new Transport(options);
    this.#token = options.token;
  }

  /** The figures of the whole service in the text format of Prometheus. */
  async metrics(): Promise<string> {
    return await (await this.ask('getMetrics')).text();
  }

  protected override async request(
    operation: OperatorOperation,
    path: string,
    init: RequestInit,
  ): Promise<Response> {
    const authorized = withHeader(init, 'authorization', `Bearer ${this.#token}`);
    const answer = await this.#transport.send(operation, path, async () => authorized);
    if (!answer.ok) throw await errorOf(operation, answer);
    return answer;
  }
}
