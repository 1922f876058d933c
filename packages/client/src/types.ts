/** What an operation takes and gives, worked out from the types of the OpenAPI document. */
import type { OPERATIONS } from './operations.ts';
import type { operations } from './schema.ts';

export type OperationId = keyof typeof OPERATIONS & keyof operations;

/** Operations whose path begins in a certain way. */
type OperationsAt<Path extends string> = {
  [Id in OperationId]: (typeof OPERATIONS)[Id][1] extends Path ? Id : never;
}[OperationId];

/** Operations of a customer, whose id the client fills in. */
export type CustomerOperation = OperationsAt<`/{cid}/webhooks/${string}`>;

export type OperatorOperation = OperationsAt<`/operator/${string}`>;

type Parameters<Id extends OperationId> = operations[Id]['parameters'];

type PathOf<Id extends OperationId> =
  Parameters<Id> extends { readonly path: infer Path }
    ? Id extends CustomerOperation
      ? Omit<Path, 'cid'>
      : Path
    : unknown;

type QueryOf<Id extends OperationId> =
  Parameters<Id> extends { readonly query?: infer Query } ? NonNullable<Query> : never;

type JsonIn<Message> = Message extends { readonly content: { readonly 'application/json': infer Json } }
  ? Json
  : never;

/** A body without the member that asks for another answer: a dry run has a method of its own. */
type WithoutDryRun<Json> = 'dryRun' extends keyof Json ? Omit<Json, 'dryRun'> : Json;

type BodyOf<Id extends OperationId> = operations[Id] extends { readonly requestBody: infer Message }
  ? { readonly body: JsonIn<Message> }
  : operations[Id] extends { readonly requestBody?: infer Message }
    ? [JsonIn<NonNullable<Message>>] extends [never]
      ? unknown
      : { readonly body?: WithoutDryRun<JsonIn<NonNullable<Message>>> }
    : unknown;

/** The parameters of the path but the customer's, those of the query, and the body. */
export type ArgumentsOf<Id extends OperationId> = PathOf<Id> &
  BodyOf<Id> &
  ([QueryOf<Id>] extends [never] ? unknown : { readonly query?: QueryOf<Id> });

type Answers<Id extends OperationId> = operations[Id]['responses'];

/** The status of a success: what was made (201) or begun (202) where the operation does that, else 200. */
type SuccessOf<Id extends OperationId> = [keyof Answers<Id> & (201 | 202)] extends [never]
  ? keyof Answers<Id> & 200
  : keyof Answers<Id> & (201 | 202);

/** The body of a success; `undefined` where it has none. */
export type ResultOf<Id extends OperationId> = {
  [Status in SuccessOf<Id>]: JsonIn<Answers<Id>[Status]>;
}[SuccessOf<Id>] extends infer Result
  ? [Result] extends [never]
    ? undefined
    : Result
  : never;

/** Operations that answer with a page of a list. */
export type ListOperation = (CustomerOperation | OperatorOperation) & `list${string}`;

/** One item of a list. */
export type ItemOf<Id extends ListOperation> =
  ResultOf<Id> extends { readonly _embedded: infer Lists }
    ? Lists[keyof Lists] extends readonly (infer Item)[]
      ? Item
      : never
    : never;
