/** A typed client of the service: see README.md. */
export { type ClientOptions, type EventSummary, type EventsQuery, WebhooksClient } from './client.ts';
export { type Fault, type Trouble, WebhooksError } from './errors.ts';
export { OPERATIONS } from './operations.ts';
export { OperatorClient, type OperatorOptions } from './operator.ts';
export type { components, operations } from './schema.ts';
export type {
  ArgumentsOf,
  CustomerOperation,
  ItemOf,
  ListOperation,
  OperatorOperation,
  ResultOf,
} from './types.ts';
