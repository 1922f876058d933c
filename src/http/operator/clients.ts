/** Configuration clients of a customer over HTTP (contract 10.2). A secret is shown once, by the call that makes it. */
import { z } from 'zod';
import { ApiFailure } from '../../domain/errors.ts';
import {
  CLIENT_SECRETS_MAX,
  CLIENTS_MAX_PER_CUSTOMER,
  SCOPE_MAX_CHARACTERS,
  SECOND_MS,
} from '../../domain/limits.ts';
import { text } from '../../domain/schemas.ts';
import { parseScopes } from '../../domain/scope.ts';
import { logAudit } from '../../operations/audit-trail.ts';
import { hashSecret, randomAlphanumerics } from '../../signing/secrets.ts';
import {
  type Client,
  deleteClient,
  insertClient,
  listClients,
  type NewSecret,
  rotateSecret,
} from '../../storage/clients.ts';
import { operatorAudit } from '../kit/audit.ts';
import { addRouteWithBody } from '../kit/body.ts';
import { type AppContext, param, timestamp } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import { EXAMPLE } from '../kit/examples.ts';
import { clientsHref } from '../kit/hrefs.ts';
import { collectionOf, Link, link } from '../kit/links.ts';
import { notFound, withClient, withCustomer } from '../kit/load.ts';
import { problems } from '../kit/problems.ts';
import { declareOwnRoute, forOperator } from '../kit/route.ts';
import { customerPath, jsonContent, time } from '../kit/schemas.ts';

/** What we make has a prefix, by which secret scanners know it. */
const CLIENT_ID_PREFIX = 'iwh_client_';
const SECRET_PREFIX = 'iwh_secret_';
/** Alphanumerics after the prefix. */
const CLIENT_ID_LENGTH = 32;
/** Alphanumerics after the prefix; 248 bits. */
const SECRET_LENGTH = 48;
/** The scope of a client for which the operator gives none: every management call. */
const EVERYTHING = '*:webhooks/**';
/** A week. */
const KEEP_OLD_MAX_SECONDS = 604_800;

const SECRET_EXAMPLE = `${SECRET_PREFIX}${'0123456789abcdef'.repeat(3)}`;

const NewClient = z
  .object(
    {
      name: text(1, 200).meta({ examples: ['backend'] }),
      scope: z
        .string({ error: 'must be a scope string' })
        .max(SCOPE_MAX_CHARACTERS, { error: `must be at most ${SCOPE_MAX_CHARACTERS} characters` })
        .refine((value) => parseScopes(value) !== undefined, {
          error: 'must be METHOD:path-glob, several separated by spaces, e.g. *:webhooks/**',
        })
        .transform((value) => value.trim())
        .optional()
        .transform((value) => value ?? EVERYTHING)
        .meta({
          maxLength: SCOPE_MAX_CHARACTERS,
          description: `METHOD:path-glob, several separated by spaces; ${EVERYTHING} without it`,
          examples: [EVERYTHING],
        }),
      clientId: z
        .string({ error: 'must be a string' })
        .regex(/^(?!\.{1,2}$)[A-Za-z0-9._~-]{1,64}$/, {
          error: 'must be 1 to 64 of A-Z a-z 0-9 . _ ~ -, and not . or ..',
        })
        .optional()
        .meta({
          minLength: 1,
          maxLength: 64,
          description: 'for a client that moves here: it keeps its credentials',
          examples: [EXAMPLE.client],
        }),
      clientSecret: z
        .string({ error: 'must be a string' })
        .regex(/^[\x21-\x7e]{32,255}$/, {
          error: 'must be 32 to 255 printable ASCII characters without spaces',
        })
        .optional()
        .meta({ minLength: 32, maxLength: 255, examples: [SECRET_EXAMPLE] }),
    },
    { error: 'must be a JSON object' },
  )
  .meta({ id: 'NewClient' });

const RotateSecret = z
  .object(
    {
      keepOldSeconds: z
        .number({ error: 'must be a number of seconds' })
        .int({ error: 'must be a whole number of seconds' })
        .min(0, { error: 'must be at least 0' })
        .max(KEEP_OLD_MAX_SECONDS, { error: `must be at most ${KEEP_OLD_MAX_SECONDS}` })
        .optional()
        .transform((seconds) => seconds ?? 0)
        .meta({ description: 'how long the old secrets still work; 0 without it' }),
    },
    { error: 'must be a JSON object' },
  )
  .meta({ id: 'RotateSecret' });

const ClientResource = z
  .object({
    clientId: z.string(),
    name: z.string(),
    scope: z.string(),
    createdAt: time,
    _links: z.object({ self: Link, 'rotate-secret': Link }),
  })
  .meta({ id: 'Client' });

const ClientWithSecret = ClientResource.extend({
  clientSecret: z.string().meta({ description: 'only this answer shows it' }),
}).meta({ id: 'ClientWithSecret' });

const CLIENT_PATH = `/operator/customers/${EXAMPLE.customer}/clients/${EXAMPLE.client}`;
const CLIENT_EXAMPLE: z.infer<typeof ClientResource> = {
  clientId: EXAMPLE.client,
  name: 'backend',
  scope: EVERYTHING,
  createdAt: EXAMPLE.early,
  _links: { self: link(CLIENT_PATH), 'rotate-secret': link(`${CLIENT_PATH}/rotate-secret`) },
};
const WITH_SECRET_EXAMPLE = { ...CLIENT_EXAMPLE, clientSecret: SECRET_EXAMPLE };
const ClientList = collectionOf('ClientList', 'clients', ClientResource);

const common = forOperator();
const clientPath = customerPath.extend({
  clientId: z
    .string()
    .meta({ minLength: 1, maxLength: 64, description: 'client id', examples: [EXAMPLE.client] }),
});

export function addClients(door: Door): void {
  addCreate(door);
  addList(door);
  addDelete(door);
  addRotateSecret(door);
}

const createClientRoute = declareOwnRoute({
  method: 'post',
  path: '/customers/{cid}/clients',
  operationId: 'createClient',
  summary: 'Create a client',
  ...common,
  middleware: withCustomer,
  request: {
    params: customerPath,
    body: { content: jsonContent(NewClient, { name: 'backend' }), required: true },
  },
  responses: {
    201: {
      description: 'The client with its secret',
      content: jsonContent(ClientWithSecret, WITH_SECRET_EXAMPLE),
    },
    ...problems(400, 403, 404, 409, 413, 415),
  },
});

function addCreate(door: Door): void {
  addRouteWithBody(door, createClientRoute, async (c) => {
    const body = c.req.valid('json');
    const secret = body.clientSecret ?? newSecretText();
    const client: Client = {
      customerId: c.get('customer').id,
      clientId: body.clientId ?? `${CLIENT_ID_PREFIX}${randomAlphanumerics(CLIENT_ID_LENGTH)}`,
      name: body.name,
      scope: body.scope,
      createdAt: Date.now(),
    };
    await insert(c, client, await newSecret(client, secret));
    return c.json({ ...clientResource(client), clientSecret: secret }, 201);
  });
}

async function insert(c: AppContext, client: Client, secret: NewSecret): Promise<void> {
  const audit = operatorAudit(c, 'client-created', facts(client));
  switch (await insertClient(c.get('services').db, client, secret, CLIENTS_MAX_PER_CUSTOMER, audit)) {
    case 'created':
      logAudit(audit);
      return;
    case 'no customer':
      throw notFound('Customer'); // erased while the call was under way
    case 'duplicate':
      throw new ApiFailure({ code: 'conflict', details: 'A client with this clientId exists' });
    case 'too many':
      throw new ApiFailure({
        code: 'conflict',
        details: `Too many clients: at most ${CLIENTS_MAX_PER_CUSTOMER}`,
      });
  }
}

const listRoute = declareOwnRoute({
  method: 'get',
  path: '/customers/{cid}/clients',
  operationId: 'listClients',
  summary: 'List clients',
  ...common,
  middleware: withCustomer,
  request: { params: customerPath },
  responses: {
    200: {
      description: 'The clients',
      content: jsonContent(ClientList, {
        total: 1,
        _links: { self: link(`/operator/customers/${EXAMPLE.customer}/clients`) },
        _embedded: { clients: [CLIENT_EXAMPLE] },
      }),
    },
    ...problems(403, 404),
  },
});

function addList(door: Door): void {
  door.openapi(listRoute, async (c) => {
    const { id } = c.get('customer');
    const clients = (await listClients(c.get('services').db, id)).map(clientResource);
    const self = link(clientsHref(id));
    return c.json({ total: clients.length, _links: { self }, _embedded: { clients } }, 200);
  });
}

const deleteRoute = declareOwnRoute({
  method: 'delete',
  path: '/customers/{cid}/clients/{clientId}',
  operationId: 'deleteClient',
  summary: 'Delete a client',
  description: 'Its access tokens stop within 60 seconds.',
  ...common,
  middleware: withCustomer,
  request: { params: clientPath },
  responses: { 204: { description: 'Deleted' }, ...problems(403, 404) },
});

function addDelete(door: Door): void {
  door.openapi(deleteRoute, async (c) => {
    const which = { customerId: c.get('customer').id, clientId: param(c, 'clientId') };
    const audit = operatorAudit(c, 'client-deleted', facts(which));
    const deleted = await deleteClient(c.get('services').db, which.customerId, which.clientId, audit);
    if (!deleted) throw notFound('Client');
    logAudit(audit);
    return c.body(null, 204);
  });
}

const rotateSecretRoute = declareOwnRoute({
  method: 'post',
  path: '/customers/{cid}/clients/{clientId}/rotate-secret',
  operationId: 'rotateClientSecret',
  summary: "Replace a client's secret",
  description: 'The old secret and the tokens given for it end at once, or after `keepOldSeconds`.',
  ...common,
  middleware: withClient,
  request: {
    params: clientPath,
    body: { content: jsonContent(RotateSecret, { keepOldSeconds: 3600 }), required: false },
  },
  responses: {
    200: {
      description: 'The client with its new secret',
      content: jsonContent(ClientWithSecret, WITH_SECRET_EXAMPLE),
    },
    ...problems(400, 403, 404, 409, 413, 415),
  },
});

function addRotateSecret(door: Door): void {
  addRouteWithBody(
    door,
    rotateSecretRoute,
    async (c) => {
      const client = c.get('client');
      const secret = newSecretText();
      const now = Date.now();
      const audit = operatorAudit(c, 'client-secret-rotated', facts(client));
      const rotated = await rotateSecret(
        c.get('services').db,
        client.customerId,
        client.clientId,
        await newSecret(client, secret),
        now,
        now + c.req.valid('json').keepOldSeconds * SECOND_MS,
        CLIENT_SECRETS_MAX,
        audit,
      );
      if (rotated === 'no client') throw notFound('Client'); // deleted while the call was under way
      if (rotated === 'too many') {
        throw new ApiFailure({
          code: 'conflict',
          details: `Too many secrets: at most ${CLIENT_SECRETS_MAX} at once; rotate with keepOldSeconds 0, or wait until one ends`,
        });
      }
      logAudit(audit);
      return c.json({ ...clientResource(client), clientSecret: secret }, 200);
    },
    // A media type announces a body: a call that has lost its body must not end a secret.
    { emptyIsObject: 'without media type' },
  );
}

/** What the audit trail says of a client that the operator acts on. */
function facts({ customerId, clientId }: Pick<Client, 'customerId' | 'clientId'>) {
  return { customerId, target: clientId };
}

function newSecretText(): string {
  return `${SECRET_PREFIX}${randomAlphanumerics(SECRET_LENGTH)}`;
}

async function newSecret({ customerId, clientId }: Client, secret: string): Promise<NewSecret> {
  return { id: crypto.randomUUID(), secretHash: await hashSecret(customerId, clientId, secret) };
}

function clientResource(client: Client): z.infer<typeof ClientResource> {
  const self = `${clientsHref(client.customerId)}/${client.clientId}`;
  return {
    clientId: client.clientId,
    name: client.name,
    scope: client.scope,
    createdAt: timestamp(client.createdAt),
    _links: { self: link(self), 'rotate-secret': link(`${self}/rotate-secret`) },
  };
}
