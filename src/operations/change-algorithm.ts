/**
 * Changes the algorithm by which a customer's SETs are signed (contract 10.2). No SET is signed with a key that listeners cannot know yet:
 * EdDSA keys are published a day before they sign, and RSA keys are always published. What was signed before keeps its key. Each change is
 * one batch of D1, so it is done or not, and the time when EdDSA begins is in the row of its key: nothing is left to do at that time.
 */
import type { AuditedBy } from '../domain/audit.ts';
import { KEY_PUBLISHED_BEFORE_SIGNING_MS } from '../domain/limits.ts';
import type { SigningAlgorithm } from '../domain/signing-algorithm.ts';
import { makeEdDsaKeys } from '../signing/keys.ts';
import type { SealingKeys } from '../signing/sealing.ts';
import type { Customer } from '../storage/customers.ts';
import type { Database } from '../storage/database.ts';
import { addEdDsaKeys, retireEdDsaKeys } from '../storage/signing-keys.ts';
import { logAudit, newAuditRow } from './audit-trail.ts';

/**
 * A repeat changes nothing, and has no entry in the audit trail.
 * @param by who changes it, for the audit trail
 */
export async function changeSigningAlgorithm(
  db: Database,
  sealing: SealingKeys,
  { id, eddsaSince }: Customer,
  algorithm: SigningAlgorithm,
  now: number,
  by: AuditedBy,
): Promise<void> {
  if ((eddsaSince !== null) === (algorithm === 'EdDSA')) return;
  const entry = {
    event: 'signing-algorithm-changed',
    outcome: 'done',
    customerId: id,
    target: algorithm,
  } as const;
  const audit = newAuditRow({ ...entry, ...by }, now);
  const isChanged =
    algorithm === 'EdDSA'
      ? await addEdDsaKeys(
          db,
          id,
          await makeEdDsaKeys(sealing, id, now, now + KEY_PUBLISHED_BEFORE_SIGNING_MS),
          audit,
        )
      : await retireEdDsaKeys(db, id, now, audit);
  if (isChanged) logAudit(audit);
}
