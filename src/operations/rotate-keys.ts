/** Rotation of a customer's signing keys (contract 6.3): by the operator, or by the cron when a key is old enough. */
import type { AuditedBy } from '../domain/audit.ts';
import { makeSigningKey } from '../signing/keys.ts';
import type { SealingKeys } from '../signing/sealing.ts';
import type { Database } from '../storage/database.ts';
import { findKeyRing, rotateKeys } from '../storage/signing-keys.ts';
import { logAudit, newAuditRow } from './audit-trail.ts';

/**
 * Makes the next key sign, and makes a new next key unless one is in reserve. EdDSA keys rotate with the RSA keys.
 * @param by who rotates, for the audit trail
 * @returns false when there is no such customer
 */
export async function rotateSigningKeys(
  db: Database,
  sealing: SealingKeys,
  customerId: string,
  now: number,
  by: AuditedBy,
): Promise<boolean> {
  const ring = await findKeyRing(db, customerId);
  if (ring === undefined) return false;
  const fresh = {
    ...(ring.reserve === undefined ? { rsa: await makeSigningKey(sealing, customerId, 'next', now) } : {}),
    ...(ring.eddsa === undefined
      ? {}
      : { eddsa: await makeSigningKey(sealing, customerId, 'next', now, 'EdDSA') }),
  };
  // Of two rotations at once the second changes nothing: it asked for a rotation, and there was one.
  const entry = {
    event: 'signing-keys-rotated',
    outcome: 'done',
    customerId,
    target: ring.eddsa !== undefined && ring.eddsa.since <= now ? ring.eddsa.current : ring.current,
    ...by,
  } as const;
  const audit = newAuditRow(entry, now);
  if (await rotateKeys(db, customerId, ring, fresh, now, audit)) logAudit(audit);
  return true;
}
