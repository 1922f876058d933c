/** What went wrong with a call, in words that say what to do. */

export interface Fault {
  /** The member, such as `title` or `events[1]`. */
  readonly name: string;
  readonly reason: string;
}

export class CallError extends Error {
  override readonly name = 'CallError';
  /** Undefined when no answer came. */
  readonly status: number | undefined;
  readonly requestId: string | undefined;
  readonly faults: readonly Fault[];
  readonly retryAfterSeconds: number | undefined;

  constructor(
    message: string,
    more: {
      readonly status?: number;
      readonly requestId?: string | undefined;
      readonly faults?: readonly Fault[];
      readonly retryAfterSeconds?: number | undefined;
    } = {},
  ) {
    super(message);
    this.status = more.status;
    this.requestId = more.requestId;
    this.faults = more.faults ?? [];
    this.retryAfterSeconds = more.retryAfterSeconds;
  }
}

type Body = Partial<Record<string, unknown>>;

/** Reads an answer that is no success (contract 8). */
export async function errorOf(answer: Response): Promise<CallError> {
  const text = await answer.text().catch(() => '');
  const body = parsed(text);
  const faults = [...faultsIn(body['invalid-body-params']), ...faultsIn(body['invalid-query-params'])];
  const after = Number(answer.headers.get('retry-after') ?? Number.NaN);
  return new CallError(wordsFor(answer.status, body, faults), {
    status: answer.status,
    requestId: answer.headers.get('x-request-id') ?? undefined,
    faults,
    retryAfterSeconds: Number.isFinite(after) ? after : undefined,
  });
}

function wordsFor(status: number, body: Body, faults: readonly Fault[]): string {
  const details = typeof body['details'] === 'string' ? body['details'] : undefined;
  switch (status) {
    case 400:
      return faults.length > 0
        ? faults.map(({ name, reason }) => `${name}: ${reason}`).join('. ')
        : (details ?? 'The service did not understand the request.');
    case 403:
      return 'You are not permitted to do this.';
    case 404:
      return details ?? 'This does not exist, or no longer.';
    case 409:
      return details ?? 'The present state does not permit this.';
    case 429:
      return `Too many requests${details === undefined ? '' : `: ${details}`}.`;
    case 503:
      return 'The service is away for a moment. Try again shortly.';
    default:
      return status >= 500
        ? 'The service has a fault. If it stays, give the request id to your operator.'
        : (details ?? `The service answered with status ${status}.`);
  }
}

function parsed(text: string): Body {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === 'object' && body !== null ? (body as Body) : {};
  } catch {
    return {};
  }
}

function faultsIn(list: unknown): Fault[] {
  if (!Array.isArray(list)) return [];
  return list.filter(
    (item): item is Fault => typeof item?.name === 'string' && typeof item?.reason === 'string',
  );
}

/** A fault of the service at its field, as a sentence: `is already used` becomes `This title is already used.` */
export function faultSentence(field: string, reason: string): string {
  return /^(is|must|has) /.test(reason) ? `This ${field} ${reason}.` : reason;
}

/** The faults of one field: of the member itself, and of what is in it. */
export function faultsOf(error: unknown, field: string): string[] {
  if (!(error instanceof CallError)) return [];
  return error.faults
    .filter(({ name }) => name === field || name.startsWith(`${field}[`) || name.startsWith(`${field}.`))
    .map(({ name, reason }) => (name === field ? reason : `${name.slice(field.length)} ${reason}`.trim()));
}
