/** The HTTP face of the service: the middleware of every request, in the order of contract 8, and the four doors. */
import { methodNotAllowed } from 'hono/method-not-allowed';
import type { Env } from '../env.ts';
import type { AddressCheck } from '../outbound/address-check.ts';
import { createServices } from '../services.ts';
import { consoleDoor } from './console/door.ts';
import { addSecurityHeaders, noStore } from './kit/answer-headers.ts';
import { makeDocument } from './kit/document.ts';
import { type Door, newDoor } from './kit/door.ts';
import { answerError, handleError } from './kit/errors.ts';
import { newIsolateMemory } from './kit/isolate.ts';
import { identifyRequest } from './kit/request-id.ts';
import { takeShortPath } from './kit/short-path.ts';
import { managementDoor } from './management/door.ts';
import { operatorDoor } from './operator/door.ts';
import { publicDoor } from './public/door.ts';

/**
 * What answers requests.
 * @param checkAddress judges the hosts of endpoints; tests bring a resolver of their own
 */
export function createFetch(checkAddress: AddressCheck) {
  const app = createApp(checkAddress);
  return async (request: Request, env: Env, ctx: ExecutionContext): Promise<Response> => {
    const taken = await takeShortPath(request, env);
    return taken instanceof Response ? taken : await app.fetch(taken, env, ctx);
  };
}

/** The app: middleware, and all routes. */
export function createApp(checkAddress: AddressCheck): Door {
  const app = newDoor();
  app.use(identifyRequest);
  app.use(addSecurityHeaders);
  app.use(noStore);
  app.onError(handleError);
  app.notFound((c) => answerError(c, { code: 'not_found', what: 'Route' }));
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, allow) => answerError(c, { code: 'method_not_allowed', allow }),
    }),
  );
  const isolate = newIsolateMemory();
  app.use(async (c, next) => {
    c.set('isolate', isolate);
    c.set('services', createServices(c.env, checkAddress));
    await next();
  });
  mountDoors(app);
  return app;
}

/** The OpenAPI document of a service with this `BASE_URL`, without a service. */
export function createDocument(baseUrl: string): object {
  return makeDocument(mountDoors(newDoor()), baseUrl);
}

/** @returns the same doors without the middleware of the app, for the OpenAPI document */
function mountDoors(app: Door): Door {
  const api = newDoor();
  const doors: readonly [path: string, door: Door][] = [
    ['/', publicDoor(api)],
    ['/:cid/webhooks', managementDoor()],
    ['/operator', operatorDoor()],
    ['/console', consoleDoor()],
  ];
  // The document shows the doors in the order in which a reader needs them.
  for (const [path, door] of doors) api.route(path, door);
  // Requests meet the doors in the other order: `operator` and `console` are no customer ids, so the
  // guards of those doors decide about `/operator/webhooks` (contract 10.2).
  for (const [path, door] of doors.toReversed()) app.route(path, door);
  return api;
}
