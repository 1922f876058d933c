/**
 * Sessions of the console (contract 10.15). A session is a customer's or the operator's. A customer's session may do what a link
 * permits, or what the client may do whose credentials opened it.
 */
import { parseScopes } from './scope.ts';

export const SESSION_KINDS = ['customer', 'operator'] as const;
export type SessionKind = (typeof SESSION_KINDS)[number];

interface CustomerSession {
  readonly kind: 'customer';
  readonly id: string;
  readonly customerId: string;
  readonly customerName: string;
  /** The client whose credentials opened it; absent: a link did. */
  readonly clientId?: string;
  readonly scope: string;
  /** ms */
  readonly expiresAt: number;
}

interface OperatorSession {
  readonly kind: 'operator';
  readonly id: string;
  /** Made from the `OPERATOR_TOKEN` that opened it. */
  readonly operatorMark: string;
  /** ms */
  readonly expiresAt: number;
}

export type ConsoleSession = CustomerSession | OperatorSession;

/** What a session may call that a link opened. A filter test changes nothing. */
export function scopeOfLink(readOnly: boolean): string {
  return readOnly ? 'GET:webhooks/** POST:webhooks/filter-tests' : '*:webhooks/**';
}

/** The scope that the console shows for the operator. The guard of the operator's door asks for the kind of the session alone. */
export const OPERATOR_SCOPE = '*:operator/**';

/** Whether a scope permits nothing that changes something. */
export function isReadOnly(scope: string): boolean {
  return (parseScopes(scope) ?? []).every(
    ({ method, segments }) => method === 'GET' || segments.join('/') === 'webhooks/filter-tests',
  );
}

/** By which name the log and the audit trail know a caller of the console that is no client. A client id has no colon. */
export function consoleCaller(sessionId: string): string {
  return `console:${sessionId}`;
}
