/** What a test and the scripted listener exchange: the answers to give, and the calls that came. */

export interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** `hang` answers when it is released. `interim` sends 100 and 103 first. The others misbehave at once. */
  readonly manner?: 'hang' | 'interim' | 'reset' | 'garbage' | 'endless' | 'drip' | 'break off';
}

export interface Call {
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** How many bytes of the answer's body the server could send. */
  sent: number;
  /** Whether the connection of the answer was closed. */
  closed: boolean;
}
