/**
 * Declares routes for the service and for its OpenAPI document. Generators name the functions of a client by `operationId`, and
 * readers find a route by its tag, so the types ask for both.
 */
import { createRoute, type RouteConfig } from '@hono/zod-openapi';
import { createMiddleware } from 'hono/factory';
import { ApiFailure } from '../../domain/errors.ts';
import type { AppEnv } from './context.ts';
import { problems } from './problems.ts';

/** The tags of the document, in its order, with what they hold. */
export const TAGS = {
  'Access tokens': 'A client gets the token that every management call carries.',
  Subscriptions: 'Which events go to which endpoint, with a test notification and counts.',
  Events: 'The deliveries of one subscription: their state, history and redelivery.',
  Exports: 'Files of the failed events of a subscription, each event once.',
  Redeliveries: 'Redelivery of many failed events of a subscription.',
  Publishing: 'Producers publish events.',
  Keys: 'The public keys by which listeners verify the tokens they get.',
  Notifications: 'What a listener gets.',
  Operator: 'Customers, clients, keys, dead letters, notices and the audit trail.',
  Console:
    'What the page of the console calls, with a cookie and from its own origin. Programs use the tokens above.',
  Operation: 'Whether the service is up, and what it offers.',
};

type Tag = keyof typeof TAGS;

type Verb =
  | 'adopt'
  | 'cancel'
  | 'create'
  | 'delete'
  | 'download'
  | 'drop'
  | 'erase'
  | 'get'
  | 'list'
  | 'publish'
  | 'receive'
  | 'redeliver'
  | 'replay'
  | 'reseal'
  | 'rotate'
  | 'send'
  | 'set'
  | 'start'
  | 'test'
  | 'update';

/** What every operation of the document has. */
interface Documented {
  /** A verb and a noun. Clients are made from it: an id that was released never changes. */
  readonly operationId: `${Verb}${Capitalize<string>}`;
  readonly summary: string;
  tags: Tag[];
  /** Empty for a route that needs no credentials. */
  security: Partial<Record<'client' | 'token' | 'operator' | 'console', never[]>>[];
}

export const forAnybody = (tag: Tag) => ({ tags: [tag], security: [] });
export const forClients = (tag: Tag) => ({ tags: [tag], security: [{ token: [] }] });
export const forOperator = () => ({ tags: ['Operator' as const], security: [{ operator: [] }] });

export const forConsole = () => ({ tags: ['Console' as const], security: [{ console: [] }] });

export function declareRoute<
  Path extends string,
  Route extends Omit<RouteConfig, 'path' | keyof Documented> & Documented & { path: Path },
>(route: Route) {
  return createRoute<Path, Route>(route);
}

/**
 * Declares a route that is ours alone (contract 10): a query parameter that it does not have is a 400. A misspelt parameter would
 * otherwise widen what the operator asks for. It is refused before anything is looked up, and before anything is judged that may
 * need work.
 */
export function declareOwnRoute<
  Path extends string,
  Route extends Omit<RouteConfig, 'path' | keyof Documented> & Documented & { path: Path },
>(route: Route) {
  const { query } = route.request ?? {};
  const parameters = Object.keys(query !== undefined && 'shape' in query ? (query.shape as object) : {});
  // The type stays that of the route: what it adds to the context of its handler is the route's own middleware alone.
  const middleware = [refuseOthers(parameters), route.middleware ?? []].flat();
  return declareRoute<Path, Route>({
    ...route,
    middleware,
    responses: { ...problems(400), ...route.responses },
  });
}

function refuseOthers(parameters: readonly string[]) {
  const which = parameters.length === 0 ? 'no parameters' : parameters.join(', ');
  const reason = `is not a parameter of this call: it has ${which}`;
  return createMiddleware<AppEnv>(async (c, next) => {
    const names = new Set(new URL(c.req.url).searchParams.keys());
    const others = [...names].filter((name) => !parameters.includes(name));
    if (others.length > 0) {
      throw new ApiFailure({ code: 'invalid_query', faults: others.map((name) => ({ name, reason })) });
    }
    await next();
  });
}
