/**
 * A door of the API: a sub-app with one guard and the routes behind it. The first line of a door is its guard, so every
 * route of the door is guarded, whatever its path is.
 */
import { OpenAPIHono } from '@hono/zod-openapi';
import type { AppEnv } from './context.ts';
import { refuseInvalid } from './errors.ts';

export type Door = OpenAPIHono<AppEnv>;

/** A door without a guard and without routes, which refuses faults of a query as contract 8 says. */
export function newDoor(): Door {
  return new OpenAPIHono<AppEnv>({ defaultHook: refuseInvalid });
}
