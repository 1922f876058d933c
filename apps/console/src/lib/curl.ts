/** The command that repeats a request to a listener. */

/** A word for a POSIX shell, whatever is in it. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Headers that curl makes itself. */
const MADE_BY_CURL = new Set(['host', 'content-length']);

export function curlOf(request: {
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: string;
}): string {
  const headers = Object.entries(request.headers).filter(([name]) => !MADE_BY_CURL.has(name.toLowerCase()));
  return [
    `curl -sS -i -X POST ${quoted(request.endpoint)}`,
    ...headers.map(([name, value]) => `  -H ${quoted(`${name}: ${value}`)}`),
    `  --data-binary ${quoted(request.payload)}`,
  ].join(' \\\n');
}
