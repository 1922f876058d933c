/**
 * Errors with which the platform stops our own invocation. `fetch` throws them like any failed connection, so only the text
 * distinguishes them. They say nothing about the listener (contract 6.4).
 *
 * The list is narrow on purpose: texts are compared as a whole, or by a long beginning. A text that is not here is the
 * listener's. So "Network connection lost." is not here, and "internal error" is not: a listener might cause it.
 *
 * Where the texts come from: "Response closed…" from the changelog of 9 April 2026, which removed it; "Worker exceeded…" and
 * "The script will never…" from the page "Errors and exceptions"; "Worker has exceeded…", "Promise will never…", "The execution
 * context…" and "The Workers runtime canceled…" from io-context.h and io-context.c++ in workerd; the rest from logs that people
 * published in 2026, because the code that counts subrequests is not public.
 */
const TEXTS: ReadonlySet<string> = new Set([
  'Too many subrequests',
  'Response closed due to connection limit',
  'Worker exceeded CPU time limit',
  'Worker exceeded memory limit',
  'Worker has exceeded memory limit',
  'The script will never generate a response',
  'The execution context responding to this call was canceled',
  'Promise will never complete',
]);

/** Texts that go on with advice or an address, which may change. */
const BEGINNINGS: readonly string[] = [
  'Too many subrequests by single Worker invocation.',
  'Too many API requests by single Worker invocation.',
  'A stalled HTTP response was canceled to prevent deadlock.',
  "The Workers runtime canceled this request because it detected that your Worker's code had hung",
];

/** Whether the platform threw this because of one of our own limits, or because it ended our invocation. */
export function isPlatformLimit(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const text = error.message.trim();
  return (
    TEXTS.has(text.replace(/\.$/, '')) || BEGINNINGS.some((beginning) => `${text}.`.startsWith(beginning))
  );
}
