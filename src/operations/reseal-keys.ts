/**
 * Reseals every private key under the current `KEY_ENCRYPTION_KEY` (contract 10.2), so that the previous one can be removed.
 * Keys go on signing meanwhile: a key that is sealed under either of the two opens. A repeated call finds the keys that are
 * left. Two calls at once are harmless: they only repeat work.
 */
import type { AuditedBy } from '../domain/audit.ts';
import { logError } from '../log.ts';
import { resealSigningKey } from '../signing/keys.ts';
import { type SealingKeys, sealedPrefix } from '../signing/sealing.ts';
import type { Database } from '../storage/database.ts';
import { countSealed, findSealedOtherwise, replaceSealed, type SealedKey } from '../storage/signing-keys.ts';
import { logAudit, newAuditRow } from './audit-trail.ts';

/** Private keys resealed together, in one batch of D1. */
const RESEAL_BITE = 50;
/** One call works for this long; it must answer within 10 s (contract 1). */
const RESEAL_WITHIN_MS = 5000;

interface ResealProgress {
  /** All private keys. */
  readonly total: number;
  /** Resealed by this call. */
  readonly resealed: number;
  /** Not sealed under the current key yet; call again until it is 0. */
  readonly remaining: number;
  /** Of these, keys that neither key opens: the log names them. */
  readonly unreadable: number;
}

/**
 * Works for a few seconds at most; the rest is for the next call.
 * @param by who reseals, for the audit trail
 */
export async function resealSigningKeys(
  db: Database,
  sealing: SealingKeys,
  now: () => number,
  by: AuditedBy,
): Promise<ResealProgress> {
  const prefix = await sealedPrefix(sealing);
  const end = now() + RESEAL_WITHIN_MS;
  let after = '';
  let resealed = 0;
  let unreadable = 0;
  while (now() < end) {
    const keys = await findSealedOtherwise(db, prefix, after, RESEAL_BITE);
    const resealedKeys = await Promise.all(keys.map((key) => reseal(sealing, key)));
    const readable = resealedKeys.filter((one) => one !== undefined);
    if (readable.length > 0) {
      const entry = { event: 'signing-keys-resealed', outcome: 'done', ...by } as const;
      const audit = newAuditRow(entry, now(), readable.length);
      await replaceSealed(db, readable, audit);
      logAudit(audit, audit.count);
    }
    resealed += readable.length;
    unreadable += keys.length - readable.length;
    const last = keys.at(-1);
    if (last === undefined || keys.length < RESEAL_BITE) break;
    after = last.kid;
  }
  const { total, otherwise } = await countSealed(db, prefix);
  return { total, resealed, remaining: otherwise, unreadable };
}

async function reseal(sealing: SealingKeys, key: SealedKey) {
  const { customerId, kid, sealedPrivateKey } = key;
  try {
    return { key, resealed: await resealSigningKey(sealing, customerId, kid, sealedPrivateKey) };
  } catch (error) {
    logError('signing key does not open', error, { customerId, kid });
    return undefined;
  }
}
