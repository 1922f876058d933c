/**
 * Scopes of access tokens (contract 2): `METHOD:path-glob`, several of them separated by spaces. The method `*` is any
 * method. In the glob, `*` is one segment and `**` is any number of segments, also none. The path is what follows `/{CID}/`.
 */
export interface Scope {
  readonly method: string;
  readonly segments: readonly string[];
}

const TOKEN = /^(\*|[A-Z]+):([A-Za-z0-9._~*/-]+)$/;

/** The scopes in a scope string, or `undefined` when it is empty or one of them is malformed. */
export function parseScopes(text: string): readonly Scope[] | undefined {
  const tokens = text.split(' ').filter((token) => token !== '');
  if (tokens.length === 0) return undefined;
  const scopes: Scope[] = [];
  for (const token of tokens) {
    const match = TOKEN.exec(token);
    if (!match?.[1] || !match[2]) return undefined;
    const segments = match[2].split('/');
    if (segments.some((segment) => segment === '' || (segment.includes('*') && !/^\*\*?$/.test(segment)))) {
      return undefined;
    }
    scopes.push({ method: match[1], segments });
  }
  return scopes;
}

/** Whether any of the scopes permits this call; `path` is what follows `/{CID}/`, without query. */
export function permits(scopes: readonly Scope[], method: string, path: string): boolean {
  // A scope for GET permits HEAD, whose answer shows less.
  const asked = method === 'HEAD' ? 'GET' : method;
  const segments = path.split('/');
  return scopes.some(
    (scope) => (scope.method === '*' || scope.method === asked) && contains(scope.segments, segments),
  );
}

/** Whether one of `allowed` permits every call that `asked` permits: a client may ask for less than it has. */
export function covers(allowed: readonly Scope[], asked: Scope): boolean {
  return allowed.some(
    (scope) =>
      (scope.method === '*' || scope.method === asked.method) && contains(scope.segments, asked.segments),
  );
}

/**
 * Whether the glob `outer` matches every path that the glob `inner` matches. A path without wildcards is a glob that
 * matches only itself, so this function also matches paths. `seen` keeps the work quadratic at worst.
 */
function contains(outer: readonly string[], inner: readonly string[]): boolean {
  const seen = new Set<number>();
  const visit = (o: number, i: number): boolean => {
    const key = o * (inner.length + 1) + i;
    if (seen.has(key)) return false;
    seen.add(key);
    if (o === outer.length) return i === inner.length;
    if (outer[o] === '**') return visit(o + 1, i) || (i < inner.length && visit(o, i + 1));
    if (i === inner.length || inner[i] === '**') return false;
    return (outer[o] === '*' || outer[o] === inner[i]) && visit(o + 1, i + 1);
  };
  return visit(0, 0);
}
