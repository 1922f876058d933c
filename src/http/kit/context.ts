/** The context of a request: what the service puts into it, and small readers of it. */
import type { Context } from 'hono';
import { addressKey } from '../../domain/caller.ts';
import type { Subscription } from '../../domain/subscription.ts';
import { rfc3339Time } from '../../domain/time.ts';

import type { Env } from '../../env.ts';
import type { Services } from '../../services.ts';
import type { IsolateMemory } from './isolate.ts';

/** What the guard of the management door has read for the handler. */
interface EarlyRead {
  readonly id: string;
  readonly subscription: Subscription | undefined;
}

export interface AppEnv {
  Bindings: Env;
  Variables: {
    services: Services;
    isolate: IsolateMemory;
    /** Ours. */
    requestId: string;
    /** The caller's, if it sent one of the known form. */
    callerRequestId: string | undefined;
    /** The client, or the session of the console (`consoleCaller`), whose token the call carries; a guard sets it. */
    clientId: string | undefined;
    /** What that guard has read together with the credential. */
    early: EarlyRead | undefined;
  };
}

/** The context of every route, whatever its middleware has added to it. */
export type AppContext = Omit<Context<AppEnv>, 'set'>;

/** A path parameter the route declares. */
export function param(c: AppContext, name: string): string {
  return c.req.param(name) ?? '';
}

/** The key under which limits count the address of the caller. */
export function callerKey(c: AppContext): string {
  return addressKey(c.req.header('cf-connecting-ip'), c.req.header('cf-worker'));
}

/** A time in a resource (contract 1). Any number has one. */
export const timestamp = rfc3339Time;
