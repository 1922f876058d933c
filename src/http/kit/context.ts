/** The context of a request: what the service puts into it, and small readers of it. */
import type { Context } from 'hono';
import type { Env } from '../../env.ts';
import type { Services } from '../../services.ts';

export interface AppEnv {
  Bindings: Env;
  Variables: {
    services: Services;
    /** Ours. */
    requestId: string;
    /** The caller's, if it sent one of the known form. */
    callerRequestId: string | undefined;
  };
}

/** The context of every route, whatever its middleware has added to it. */
export type AppContext = Omit<Context<AppEnv>, 'set'>;

/** A path parameter the route declares. */
export function param(c: AppContext, name: string): string {
  return c.req.param(name) ?? '';
}

/** A time in a resource: RFC 3339, UTC, milliseconds (contract 1). */
export function timestamp(ms: number): string {
  return new Date(ms).toISOString();
}
