/** The audit trail over HTTP (contract 10.7): who calls, and what the routes note of it. */
import type { AuditEntry, AuditEvent, AuditedBy, AuditRow } from '../../domain/audit.ts';
import { auditTrail, newAuditRow } from '../../operations/audit-trail.ts';
import { writeAuditRows } from '../../storage/audit.ts';
import { type AppContext, callerKey } from './context.ts';
import { idsOf } from './request-id.ts';

type Facts = Pick<AuditEntry, 'customerId' | 'target'>;

/** The operator as the one who acts. Its token has no identity; a session of the console has one. */
export function theOperator(c: AppContext): AuditedBy {
  return { actor: 'operator', clientId: c.get('clientId'), ...callOf(c) };
}

/** The row of an act by the operator; for the batch of the change, unless the act is `begun`. */
export function operatorAudit(
  c: AppContext,
  event: AuditEvent,
  facts: Facts,
  outcome: 'done' | 'begun' = 'done',
): AuditRow {
  return newAuditRow({ event, outcome, ...facts, ...theOperator(c) }, Date.now());
}

/** The row of a change by the client whose token the call carries, for the batch of the change. */
export function clientAudit(c: AppContext, event: AuditEvent, facts: Facts): AuditRow {
  const by: AuditedBy = { actor: 'client', clientId: c.get('clientId'), ...callOf(c) };
  return newAuditRow({ event, outcome: 'done', ...facts, ...by }, Date.now());
}

/** The row of a sign-in to the console, or of its end. The caller is not known from a token. */
export function consoleAudit(
  c: AppContext,
  event: AuditEvent,
  actor: 'client' | 'operator',
  facts: Facts & Pick<AuditEntry, 'clientId'>,
): AuditRow {
  return newAuditRow({ event, actor, outcome: 'done', ...facts, ...callOf(c) }, Date.now());
}

/** Notes a token that was given or refused, at the door of clients or at that of the operator. A customer it names must exist. */
export function noteToken(c: AppContext, entry: Omit<AuditEntry, keyof ReturnType<typeof callOf>>): void {
  const { db } = c.get('services');
  auditTrail.note(
    { ...entry, ...callOf(c) },
    {
      write: (rows) => writeAuditRows(db, rows, Date.now()),
      waitUntil: (work) => c.executionCtx.waitUntil(work),
    },
    Date.now(),
  );
}

function callOf(c: AppContext) {
  return { address: callerKey(c), ...idsOf(c) };
}
