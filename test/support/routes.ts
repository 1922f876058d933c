/** Every route of the service, from its own document: a new route cannot be forgotten by a test that walks these. */
import { call } from './world.ts';

export interface Route {
  readonly method: string;
  /** With parameters in braces: `/{cid}/webhooks/subscriptions/{sid}`. */
  readonly path: string;
  /** Who may call: `token` of a customer, `operator`, a `client` by its secret, or anybody. */
  readonly access: 'token' | 'operator' | 'client' | 'anybody';
  readonly takesBody: boolean;
}

interface Operation {
  readonly security?: readonly Readonly<Record<string, unknown>>[];
  readonly requestBody?: unknown;
}

export async function allRoutes(): Promise<Route[]> {
  const { body } = await call('GET', '/openapi.json');
  const paths = body.paths as Record<string, Record<string, Operation>>;
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, { security, requestBody }]) => ({
      method: method.toUpperCase(),
      path,
      access: (Object.keys(security?.[0] ?? {})[0] ?? 'anybody') as Route['access'],
      takesBody: requestBody !== undefined,
    })),
  );
}

/** A path with its parameters filled in. @throws Error for one that has no value */
export function fill(path: string, values: Readonly<Record<string, string>>): string {
  return path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`no value for {${name}} of ${path}`);
    return value;
  });
}
