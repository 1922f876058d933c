/** Every route of the service, read from its OpenAPI document, so that no test over all routes can forget a new one. */
import { call } from './world.ts';

export interface Route {
  readonly method: string;
  /** Has its parameters in braces: `/{cid}/webhooks/subscriptions/{sid}`. */
  readonly path: string;
  /** Who may call it: a customer with a `token`, the `operator`, a `client` with its secret, or `anybody`. */
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

/** A path with its parameters filled in. @throws Error if a parameter has no value */
export function fill(path: string, values: Readonly<Record<string, string>>): string {
  return path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`no value for {${name}} of ${path}`);
    return value;
  });
}
