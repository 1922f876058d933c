/** How a command ends when it does not succeed: an exit code, what is wrong, and what to do. */

/** The exit codes. docs/command-line.md shows this table. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  unreachable: 3,
  notAuthorised: 4,
  notFound: 5,
  tooManyRequests: 6,
  interrupted: 130,
} as const;

export type ExitName = keyof typeof EXIT;

/** What each code means, for people. */
const EXIT_MEANINGS: Readonly<Record<ExitName, string>> = {
  done: 'done',
  failed: 'the service refused the request or failed, or a part of the work could not be done',
  usage: 'the command line, a file or the configuration is wrong, or consent is missing; nothing was changed',
  unreachable:
    'no answer, something else than the service answered, or the service is briefly away (502, 503, 504)',
  notAuthorised: 'not logged in, wrong credentials, or the scope does not permit the call',
  notFound: 'there is no such thing',
  tooManyRequests: 'too many requests (429): try again after the time in the message',
  interrupted: 'ended by Ctrl-C',
};

/** Each exit code with its meaning, for the document. */
export function exitCodes(): [number, string][] {
  return Object.entries(EXIT).map(([name, code]) => [code, EXIT_MEANINGS[name as ExitName]]);
}

/** An expected end of a command. Its message and its hint are lines for people, without a stack trace. */
export class Failure extends Error {
  override readonly name = 'Failure';
  readonly exit: ExitName;
  /** What to do. */
  readonly hint: string | undefined;
  /** What the service answered, if this came from it. */
  readonly answer: { readonly status?: number | undefined; readonly requestId?: string | undefined };

  constructor(
    exit: ExitName,
    message: string,
    hint?: string,
    more: { readonly cause?: unknown; readonly answer?: Failure['answer'] } = {},
  ) {
    super(message, { cause: more.cause });
    this.exit = exit;
    this.hint = hint;
    this.answer = more.answer ?? {};
  }
}

export function usage(message: string, hint?: string): Failure {
  return new Failure('usage', message, hint);
}

export function interrupted(hint?: string): Failure {
  return new Failure('interrupted', 'Interrupted.', hint);
}
