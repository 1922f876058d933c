/**
 * The audit trail (contract 10.7): the closed list of its events, and what one entry holds. The list is data for the type
 * checker, for the routes and for people: docs/contract.md shows it, and a test keeps the two equal.
 */
import { newEventIds } from './ids.ts';

/** Who acts: the holder of `OPERATOR_TOKEN`, a client that proved who it is, the cron, or anybody else. */
export const AUDIT_ACTORS = ['operator', 'client', 'service', 'stranger'] as const;
type AuditActor = (typeof AUDIT_ACTORS)[number];

interface AuditEventInfo {
  /** What happened. May hold Markdown. */
  readonly meaning: string;
  readonly actors: readonly AuditActor[];
  /** `done`: the entry was written together with the change. `begun`: it was written before the act. Or why there is no token. */
  readonly outcomes: readonly string[];
  /** Entries of one hour that the table takes. Without it, all: only the operator and the service cause them. */
  readonly perHour?: {
    readonly ofCustomer?: number;
    /** Those that name no customer. They count in `inAll`, too. */
    readonly withoutCustomer?: number;
    readonly inAll?: number;
  };
}

export const AUDIT_EVENTS = {
  'customer-created': {
    meaning: 'A customer was created, with its signing keys.',
    actors: ['operator'],
    outcomes: ['done'],
  },
  'customer-erased': {
    meaning:
      'A customer was deleted, with its clients, keys, subscriptions and dead letters. Its event stores are erased next.',
    actors: ['operator'],
    outcomes: ['done'],
  },
  'client-created': {
    meaning: 'The client `target` was created, with a secret.',
    actors: ['operator'],
    outcomes: ['done'],
  },
  'client-deleted': {
    meaning: 'The client `target` was deleted, with its secrets.',
    actors: ['operator'],
    outcomes: ['done'],
  },
  'client-secret-rotated': {
    meaning: 'The client `target` got a new secret. Its other secrets end at once or later.',
    actors: ['operator'],
    outcomes: ['done'],
  },
  'subscriptions-adopted-again': {
    meaning:
      "The versions of the customer's subscriptions were raised, so that their event stores adopt them again.",
    actors: ['operator'],
    outcomes: ['done'],
  },
  'shards-changed': {
    meaning: 'The subscription `target` gets another number of event stores (10.17).',
    actors: ['operator'],
    outcomes: ['done'],
  },
  'signing-keys-rotated': {
    meaning: 'Another key signs for the customer. `target` is the id of the key that signed before.',
    actors: ['operator', 'service'],
    outcomes: ['done'],
  },
  'signing-algorithm-changed': {
    meaning:
      'Signatures of the customer are made by the algorithm `target`: by `EdDSA` after 24 hours, by `RS256` at once.',
    actors: ['operator'],
    outcomes: ['done'],
  },
  'signing-keys-resealed': {
    meaning:
      '`count` private signing keys were sealed again. One call writes an entry for each 50 keys, and none when there was nothing to do.',
    actors: ['operator'],
    outcomes: ['done'],
  },
  'dead-letter-read': {
    meaning: 'The dead letter `target` was shown with its body.',
    actors: ['operator'],
    outcomes: ['begun'],
  },
  'dead-letter-replayed': {
    meaning: 'The event of the dead letter `target` was queued again. The letter then left the list.',
    actors: ['operator'],
    outcomes: ['begun'],
  },
  'dead-letter-dropped': {
    meaning: 'The dead letter `target` was deleted.',
    actors: ['operator'],
    outcomes: ['done'],
  },
  'subscription-deleted': {
    meaning: 'The subscription `target` was deleted. Its event store is erased next.',
    actors: ['client'],
    outcomes: ['done'],
    perHour: { ofCustomer: 1000 },
  },
  'token-issued': {
    meaning: 'The client `clientId` got an access token.',
    actors: ['client'],
    outcomes: ['done'],
    perHour: { ofCustomer: 50, inAll: 1000 },
  },
  'token-refused': {
    meaning:
      'There was no access token, or no session of the console. `customerId` is there only if it was looked up and exists, `clientId` only if the customer has such a client with a secret. `bad request`: the credentials were right. `not judged`: too many failures came before.',
    actors: ['client', 'stranger'],
    outcomes: ['no credentials', 'wrong credentials', 'not judged', 'bad request'],
    perHour: { ofCustomer: 20, withoutCustomer: 100, inAll: 1500 },
  },
  'operator-refused': {
    meaning:
      'A call under `/operator`, or a sign-in to the console, brought a wrong token, or was not judged after too many of them.',
    actors: ['stranger'],
    outcomes: ['wrong token', 'not judged'],
    perHour: { inAll: 100 },
  },
  'notices-set': {
    meaning: 'The notices for the operator were set up or changed. `customerId` is their customer.',
    actors: ['operator'],
    outcomes: ['begun'],
  },
  'console-link-created': {
    meaning:
      'A link into the console was created. `target` is its id, and that of the session that it opens.',
    actors: ['operator'],
    outcomes: ['done'],
  },
  'console-signed-in': {
    meaning:
      'A session of the console began: `target`. `clientId` is the client whose credentials opened it, or `console:` and the id of the session when a link did.',
    actors: ['client'],
    outcomes: ['done'],
    perHour: { ofCustomer: 1000 },
  },
  'operator-signed-in': {
    meaning: 'A session of the operator in the console began: `target`.',
    actors: ['operator'],
    outcomes: ['done'],
  },
  'console-signed-out': {
    meaning: 'The session `target` of the console was ended by its holder.',
    actors: ['client', 'operator'],
    outcomes: ['done'],
    perHour: { ofCustomer: 1000 },
  },
  'console-refused': {
    meaning:
      'A sign-in to the console brought a code that is unknown, used or over, or was not judged after too many of them.',
    actors: ['stranger'],
    outcomes: ['wrong code', 'not judged'],
    perHour: { inAll: 100 },
  },
} as const satisfies Record<string, AuditEventInfo>;

export type AuditEvent = keyof typeof AUDIT_EVENTS;
export type AuditOutcome = (typeof AUDIT_EVENTS)[AuditEvent]['outcomes'][number];

/** The limits of an event, if it has any. */
export function auditLimits(event: AuditEvent): NonNullable<AuditEventInfo['perHour']> {
  const info: AuditEventInfo = AUDIT_EVENTS[event];
  return info.perHour ?? {};
}

/** Ids and names; never a secret, a token, a title, an endpoint or a payload. */
export interface AuditEntry {
  readonly event: AuditEvent;
  readonly actor: AuditActor;
  readonly customerId?: string | undefined;
  /** The client who acts. */
  readonly clientId?: string | undefined;
  /** The id of what was acted on, besides the customer. */
  readonly target?: string | undefined;
  /** The caller's address, in the form of `addressKey`. */
  readonly address?: string | undefined;
  readonly requestId?: string | undefined;
  readonly callerRequestId?: string | undefined;
  readonly outcome: AuditOutcome;
}

/** Who acts, and the call by which. */
export type AuditedBy = Pick<AuditEntry, 'actor' | 'clientId' | 'address' | 'requestId' | 'callerRequestId'>;

/** An entry as it is kept. `at` is in ms; `id` is a UUID version 7 of the same time. */
export interface AuditRow extends AuditEntry {
  readonly id: string;
  readonly at: number;
  /** How many like things the row stands for. The ids of the requests are those of the first. */
  readonly count: number;
}

/**
 * The row of an entry. Its id is the key that makes a repeated write harmless.
 * @param random at least 16 random bytes
 */
export function auditRow(entry: AuditEntry, now: number, count: number, random: Uint8Array): AuditRow {
  const [id = ''] = newEventIds(now, 1, random);
  return { ...entry, id, at: now, count };
}
