/**
 * D1 as drizzle sees it: the tables of `migrations/`, column for column (a test compares the two). The constraints are
 * in the migrations only.
 */
import { sql } from 'drizzle-orm';
import { integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { AUDIT_ACTORS, type AuditEvent, type AuditOutcome } from '../domain/audit.ts';
import { SESSION_KINDS } from '../domain/console.ts';
import { HEALTH_STATES } from '../domain/endpoint-health.ts';
import type { EventType } from '../domain/event.ts';
import type { ShownState } from '../domain/proof.ts';
import type { Shards } from '../domain/shards.ts';
import { SIGNING_ALGORITHMS } from '../domain/signing-algorithm.ts';

export const customers = sqliteTable('customers', {
  id: text('id').primaryKey(),
  name: text('name').notNull(),
  createdAt: integer('created_at').notNull(),
  audience: text('audience').notNull(),
});

export const clients = sqliteTable(
  'clients',
  {
    customerId: text('customer_id').notNull(),
    clientId: text('client_id').notNull(),
    name: text('name').notNull(),
    scope: text('scope').notNull(),
    createdAt: integer('created_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.customerId, table.clientId] })],
);

export const clientSecrets = sqliteTable('client_secrets', {
  id: text('id').primaryKey(),
  customerId: text('customer_id').notNull(),
  clientId: text('client_id').notNull(),
  secretHash: text('secret_hash').notNull(),
  createdAt: integer('created_at').notNull(),
  expiresAt: integer('expires_at'),
});

/** Of RSA keys. To code from before EdDSA an EdDSA key is always `retired`; its own role is in `eddsaRole`. */
const SIGNING_KEY_ROLES = ['current', 'next', 'reserve', 'retired'] as const;

export const signingKeys = sqliteTable('signing_keys', {
  kid: text('kid').primaryKey(),
  customerId: text('customer_id').notNull(),
  role: text('role', { enum: SIGNING_KEY_ROLES }).notNull(),
  publicJwk: text('public_jwk', { mode: 'json' }).$type<JsonWebKey>().notNull(),
  sealedPrivateKey: text('sealed_private_key').notNull(),
  createdAt: integer('created_at').notNull(),
  retiredAt: integer('retired_at'),
  currentSince: integer('current_since'),
  algorithm: text('algorithm', { enum: SIGNING_ALGORITHMS }).notNull(),
  eddsaRole: text('eddsa_role', { enum: ['current', 'next'] }),
});

export const subscriptions = sqliteTable('subscriptions', {
  id: text('id').primaryKey(),
  customerId: text('customer_id').notNull(),
  title: text('title').notNull(),
  endpoint: text('endpoint').notNull(),
  events: text('events', { mode: 'json' }).$type<EventType[]>().notNull(),
  enabled: integer('enabled', { mode: 'boolean' }).notNull(),
  version: integer('version').notNull(),
  createdAt: integer('created_at').notNull(),
  updatedAt: integer('updated_at').notNull(),
  deletedAt: integer('deleted_at'),
  erasedAt: integer('erased_at'),
  filter: text('filter', { mode: 'json' }).$type<Record<string, unknown>>(),
  health: text('health', { enum: HEALTH_STATES }).notNull(),
  healthSince: integer('health_since').notNull(),
  filterSteps: integer('filter_steps'),
  proof: integer('proof'),
  proven: integer('proven'),
  storeTenths: integer('store_tenths').notNull(),
  dayAccepted: integer('day_accepted').notNull(),
  dayDelivered: integer('day_delivered').notNull(),
  dayFailed: integer('day_failed').notNull(),
  waiting: integer('waiting').notNull(),
  oldestWaitingAt: integer('oldest_waiting_at'),
  shards: text('shards', { mode: 'json' }).$type<Shards>(),
});

/** The state that a subscription shows, as far as D1 knows it (contract 10.4 and 10.8). */
export const shownState = sql<ShownState>`CASE WHEN ${subscriptions.proof} IS NULL
  OR ${subscriptions.proof} IS ${subscriptions.proven} THEN ${subscriptions.health} ELSE 'unverified' END`;

/** Sums over all customers and subscriptions, kept by triggers (migration 0018). */
export const totals = sqliteTable('totals', {
  one: integer('one').primaryKey(),
  customers: integer('customers').notNull(),
  subscriptions: integer('subscriptions').notNull(),
  disabled: integer('disabled').notNull(),
  unverified: integer('unverified').notNull(),
  slow: integer('slow').notNull(),
  failing: integer('failing').notNull(),
  accepted: integer('accepted').notNull(),
  delivered: integer('delivered').notNull(),
  failed: integer('failed').notNull(),
  waiting: integer('waiting').notNull(),
});

export const deadLetters = sqliteTable('dead_letters', {
  id: text('id').primaryKey(),
  queue: text('queue').notNull(),
  reason: text('reason').notNull(),
  body: text('body').notNull(),
  acceptedAt: integer('accepted_at').notNull(),
  createdAt: integer('created_at').notNull(),
  customerId: text('customer_id'),
  refused: integer('refused', { mode: 'boolean' }).notNull(),
});

export const audit = sqliteTable('audit', {
  id: text('id').primaryKey(),
  at: integer('at').notNull(),
  event: text('event').$type<AuditEvent>().notNull(),
  actor: text('actor', { enum: AUDIT_ACTORS }).notNull(),
  customerId: text('customer_id'),
  clientId: text('client_id'),
  target: text('target'),
  address: text('address'),
  requestId: text('request_id'),
  callerRequestId: text('caller_request_id'),
  outcome: text('outcome').$type<AuditOutcome>().notNull(),
  count: integer('count').notNull(),
});

export const consoleLinks = sqliteTable('console_links', {
  id: text('id').primaryKey(),
  codeHash: text('code_hash').notNull(),
  customerId: text('customer_id').notNull(),
  readOnly: integer('read_only', { mode: 'boolean' }).notNull(),
  createdAt: integer('created_at').notNull(),
  expiresAt: integer('expires_at').notNull(),
});

export const consoleSessions = sqliteTable('console_sessions', {
  id: text('id').primaryKey(),
  cookieHash: text('cookie_hash').notNull(),
  kind: text('kind', { enum: SESSION_KINDS }).notNull(),
  customerId: text('customer_id'),
  readOnly: integer('read_only', { mode: 'boolean' }).notNull(),
  secretId: text('secret_id'),
  operatorMark: text('operator_mark'),
  createdAt: integer('created_at').notNull(),
  expiresAt: integer('expires_at').notNull(),
});

export const notices = sqliteTable('notices', {
  one: integer('one').primaryKey(),
  customerId: text('customer_id').notNull(),
  subscriptionId: text('subscription_id').notNull(),
});

export const noticesSent = sqliteTable('notices_sent', {
  subscriptionId: text('subscription_id').primaryKey(),
  failingSince: integer('failing_since'),
  ended: integer('ended').notNull(),
  wholeAt: integer('whole_at').notNull(),
});
