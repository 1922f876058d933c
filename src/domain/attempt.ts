/**
 * An attempt is one HTTP request for a delivery. Its outcome is a closed union (contract 6.4).
 *
 * The outcome is all that the rest of the service knows about a listener. `retryable` below is the one place that decides
 * whether another attempt may follow.
 */

/** The part of a listener's answer that is kept; never its body (contract 5.1). */
export interface ListenerResponse {
  readonly statusCode: number;
  /** Names in canonical case, values joined; at most 4 KiB in all. Of a success only `KEPT_OF_SUCCESS`. */
  readonly headers: Readonly<Record<string, string>>;
}

/** What an attempt showed about the listener. Each of these is charged: it uses up one attempt of the schedule. */
export type ListenerOutcome =
  | { readonly kind: 'success'; readonly response: ListenerResponse }
  | {
      readonly kind: 'http_error';
      readonly response: ListenerResponse;
      /** From the RFC 8935 error body of a 400. */
      readonly detail?: string;
      /** The wait that `Retry-After` of a 429 or 503 asks for, in milliseconds from the answer; at most 24 h. */
      readonly retryAfterMs?: number;
    }
  | { readonly kind: 'timed_out'; readonly message: string }
  | { readonly kind: 'unreachable'; readonly message: string }
  | { readonly kind: 'invalid_response'; readonly message: string }
  | { readonly kind: 'blocked'; readonly message: string };

/**
 * We could not make the request, or it failed for a reason of ours: the name service is away, or the platform stopped us at
 * one of its limits. That shows nothing about the listener, so it costs no attempt and no health (contract 6.4).
 */
export interface OurFault {
  readonly kind: 'our_fault';
  readonly message: string;
}

export type Outcome = ListenerOutcome | OurFault;

/** Why no HTTP answer came, as the event resource shows it (contract 5.1). */
export interface AttemptError {
  readonly code: 'timed_out' | 'unreachable' | 'invalid_response' | 'blocked';
  readonly message: string;
}

/**
 * Headers of a success that are kept (contract 5.1), in lower case and in the order in which `Headers` lists them: what the answer was, who gave it, and the id under which the listener's
 * operator finds it in logs. Most other headers of a proxy are random (cookies, tags, reports), do not compress, and would
 * take more room than the event.
 */
export const KEPT_OF_SUCCESS = [
  'cf-ray',
  'content-type',
  'date',
  'request-id',
  'server',
  'traceparent',
  'x-amz-cf-id',
  'x-amzn-requestid',
  'x-amzn-trace-id',
  'x-azure-ref',
  'x-cloud-trace-context',
  'x-correlation-id',
  'x-ms-request-id',
  'x-request-id',
  'x-trace-id',
] as const;

/** Whether a further attempt may follow this outcome (contract 6.4). */
export function retryable(outcome: ListenerOutcome): boolean {
  switch (outcome.kind) {
    case 'success':
    case 'invalid_response':
    case 'blocked':
      return false;
    case 'http_error':
      // 101 and 3xx are final: the endpoint would redirect the next attempt, too.
      return outcome.response.statusCode >= 400;
    case 'timed_out':
    case 'unreachable':
      return true;
  }
}

/** One line for the history: why the attempt did not succeed. */
export function reasonOf(outcome: Exclude<Outcome, { kind: 'success' }>): string {
  switch (outcome.kind) {
    case 'http_error': {
      const status = `HTTP ${outcome.response.statusCode}`;
      return outcome.detail === undefined ? status : `${status}: ${outcome.detail}`;
    }
    case 'timed_out':
      return `timed out: ${outcome.message}`;
    case 'unreachable':
      return `unreachable: ${outcome.message}`;
    case 'invalid_response':
      return `invalid response: ${outcome.message}`;
    case 'blocked':
      return `blocked: ${outcome.message}`;
    case 'our_fault':
      return `our fault: ${outcome.message}`;
  }
}

/** The part of an outcome that the event resource shows: the answer, or the error if no answer came. */
export function visible(outcome: ListenerOutcome): { response: ListenerResponse } | { error: AttemptError } {
  switch (outcome.kind) {
    case 'success':
    case 'http_error':
      return { response: outcome.response };
    case 'timed_out':
    case 'unreachable':
    case 'invalid_response':
    case 'blocked':
      return { error: { code: outcome.kind, message: outcome.message } };
  }
}
