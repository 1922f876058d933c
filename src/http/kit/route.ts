/**
 * Declares routes for the service and for its OpenAPI document. Generators name the functions of a client by `operationId`, and
 * readers find a route by its tag, so the types ask for both.
 */
import { createRoute, type RouteConfig } from '@hono/zod-openapi';

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
  Operator: 'Customers, clients, keys, dead letters and the audit trail.',
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
  | 'start'
  | 'update';

/** What every operation of the document has. */
interface Documented {
  /** A verb and a noun. Clients are made from it: an id that was released never changes. */
  readonly operationId: `${Verb}${Capitalize<string>}`;
  readonly summary: string;
  tags: Tag[];
  /** Empty for a route that needs no credentials. */
  security: Partial<Record<'client' | 'token' | 'operator', never[]>>[];
}

export const forAnybody = (tag: Tag) => ({ tags: [tag], security: [] });
export const forClients = (tag: Tag) => ({ tags: [tag], security: [{ token: [] }] });
export const forOperator = () => ({ tags: ['Operator' as const], security: [{ operator: [] }] });

export function declareRoute<
  Path extends string,
  Route extends Omit<RouteConfig, 'path' | keyof Documented> & Documented & { path: Path },
>(route: Route) {
  return createRoute<Path, Route>(route);
}
