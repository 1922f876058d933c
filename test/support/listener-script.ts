/** What a scripted listener is told, and what it tells. */

export interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** `hang`: until released; `interim`: 100 and 103 before the answer; the others misbehave at once. */
  readonly manner?: 'hang' | 'interim' | 'reset' | 'garbage' | 'endless' | 'drip' | 'break off';
}

export interface Call {
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Bytes the service took of the answer's body, as far as the server could send them. */
  sent: number;
}
