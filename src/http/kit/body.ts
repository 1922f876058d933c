/**
 * Bodies, each read once and parsed once. The steps and their refusals have the order of contract 8: bytes within a
 * limit (413), media type (415), JSON, and the schema that the OpenAPI document shows (400, with its faults).
 */
import type { RouteConfig } from '@hono/zod-openapi';
import type { MiddlewareHandler } from 'hono';
import { createMiddleware } from 'hono/factory';
import type { z } from 'zod';
import { ApiFailure, type Fault, faultsOf } from '../../domain/errors.ts';
import { BODY_MAX_BYTES } from '../../domain/limits.ts';
import type { AppContext, AppEnv } from './context.ts';
import type { Door } from './door.ts';

export const JSON_MEDIA_TYPE = /^application\/(json|merge-patch\+json)\s*(;|$)/i;

/** The details of the 415. */
const MEDIA_TYPE = 'Content-Type must be application/json';

interface JsonRules {
  /** By default `BODY_MAX_BYTES`. */
  readonly maxBytes?: number;
  /** Follows the limit in the details of the 413. */
  readonly hint?: string;
  /** When an empty body counts as `{}`. By default it never does: it is not JSON. */
  readonly emptyIsObject?: 'always' | 'without media type';
}

interface BodyRules extends JsonRules {
  /**
   * Finds the faults that need configuration, D1 or a name server.
   * @param faults those that the schema found: a member with such a fault is not judged again
   */
  readonly moreFaults?: (c: AppContext, body: unknown, faults: readonly Fault[]) => Promise<readonly Fault[]>;
}

type RouteWithBody = RouteConfig & {
  readonly request: {
    readonly body: { readonly content: Record<'application/json', { schema: z.ZodType }> };
  };
};

/**
 * Adds a declared route with a JSON body. The middleware of the route runs first; then the body is judged by the schema
 * that the route declares, and the handler takes its value as `c.req.valid('json')`.
 */
export function addRouteWithBody<Route extends RouteWithBody>(
  door: Door,
  route: Route,
  handler: Parameters<typeof door.openapi<Route>>[1],
  rules: BodyRules = {},
): void {
  const { schema } = (route as RouteWithBody).request.body.content['application/json'];
  const parse = createMiddleware<AppEnv>(async (c, next) => {
    const value = await parseBody(c, schema, rules);
    c.req.addValidatedData('json', value);
    await next();
  });
  serve(door, route, [parse], handler);
}

/**
 * Adds a declared route whose handler takes its JSON body by `readJson` and judges it: the schema is for the document alone. It is
 * for a body that may be judged only after something else.
 */
export function addRouteThatReadsBody<Route extends RouteWithBody>(
  door: Door,
  route: Route,
  handler: Parameters<typeof door.openapi<Route>>[1],
): void {
  serve(door, route, [], handler);
}

/** @param parse runs after the middleware of the route */
function serve<Route extends RouteWithBody>(
  door: Door,
  route: Route,
  parse: readonly MiddlewareHandler<AppEnv>[],
  handler: Parameters<typeof door.openapi<Route>>[1],
): void {
  const { middleware = [], ...documented } = route as RouteWithBody;
  const { body: _, ...request } = documented.request;
  door.openAPIRegistry.registerPath(documented);
  // The library gets the route without its body, or it would parse the body again. The handler keeps the whole type.
  const served = { ...documented, request, hide: true, middleware: [middleware, ...parse].flat() };
  door.openapi(served as unknown as Route, handler);
}

/** @throws ApiFailure `invalid_body` with the faults of the schema and those that a schema cannot find */
async function parseBody(c: AppContext, schema: z.ZodType, rules: BodyRules): Promise<object> {
  const body = await readJson(c, rules);
  const parsed = schema.safeParse(body);
  const faults = parsed.success ? [] : faultsOf(parsed.error.issues);
  const all = [...faults, ...((await rules.moreFaults?.(c, body, faults)) ?? [])];
  if (!parsed.success || all.length > 0) throw new ApiFailure({ code: 'invalid_body', faults: all });
  return parsed.data as object;
}

/**
 * The body as JSON, in UTF-8 (RFC 8259, 8.1).
 * @throws ApiFailure `body_too_large`, `unsupported_media_type` or `invalid_json`
 */
export async function readJson(c: AppContext, rules: JsonRules): Promise<unknown> {
  const bytes = await readBody(c, rules.maxBytes ?? BODY_MAX_BYTES, rules.hint);
  const type = c.req.header('content-type');
  const isEmpty = bytes.byteLength === 0;
  const isAbsent = isEmpty && type === undefined;
  if (isEmpty && rules.emptyIsObject === 'always') return {};
  if (isAbsent && rules.emptyIsObject === 'without media type') return {};
  // A body that is absent passes here: the JSON check rejects it with a better message.
  if (!isAbsent && !JSON_MEDIA_TYPE.test(type ?? '')) {
    throw new ApiFailure({ code: 'unsupported_media_type', details: MEDIA_TYPE });
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes));
  } catch {
    throw new ApiFailure({ code: 'invalid_json' });
  }
}

/**
 * The bytes of a body.
 * @throws ApiFailure `body_too_large` when the declared length is over the limit, or as soon as the bytes read are
 */
export async function readBody(c: AppContext, maxBytes: number, hint = ''): Promise<Uint8Array> {
  const details = `The body must be at most ${maxBytes} bytes${hint}`;
  const tooLarge = () => new ApiFailure({ code: 'body_too_large', details });
  if (Number(c.req.header('content-length') ?? 0) > maxBytes) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of c.req.raw.body ?? []) {
      size += chunk.byteLength;
      if (size > maxBytes) throw tooLarge();
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof ApiFailure) throw error;
    // The caller went away, or broke its own transfer: nobody reads the answer, and the log need not name it.
    throw new ApiFailure({ code: 'invalid_json' });
  }
  return await new Blob(chunks).bytes();
}
