/** Routes in the fragment of the address: `#/subscriptions/{SID}/events?state=failure`. The server never sees them. */

export interface Route {
  /** Segments of the path, decoded. */
  readonly path: readonly string[];
  readonly query: URLSearchParams;
}

export function routeOf(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#/, '').split(/\?(.*)/s);
  return { path: path.split('/').filter(Boolean).map(decoded), query: new URLSearchParams(query) };
}

export function hrefOf(
  path: readonly string[],
  query: Readonly<Record<string, string | undefined>> = {},
): string {
  const given = Object.entries(query).filter((entry): entry is [string, string] => Boolean(entry[1]));
  const search = new URLSearchParams(given).toString();
  return `#/${path.map(encodeURIComponent).join('/')}${search && `?${search}`}`;
}

/**
 * @param pattern such as `subscriptions/:sid/events`
 * @returns the named segments; undefined when the path is another one
 */
export function match(
  pattern: string,
  path: readonly string[],
): Readonly<Record<string, string>> | undefined {
  const wanted = pattern.split('/').filter(Boolean);
  if (wanted.length !== path.length) return undefined;
  const named: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    const segment = path[index] ?? '';
    if (part.startsWith(':')) named[part.slice(1)] = segment;
    else if (part !== segment) return undefined;
  }
  return named;
}

/** Text with a wrong escape stays as it is: an address may be typed by hand. */
function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
