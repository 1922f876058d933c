/** The audit trail as an operator sees it. */
import { env } from 'cloudflare:workers';
import { auditTrail } from '../../src/operations/audit-trail.ts';
import { writeAuditRows } from '../../src/storage/audit.ts';
import { openDatabase } from '../../src/storage/database.ts';
import { asOperator } from './world.ts';

// biome-ignore lint/suspicious/noExplicitAny: tests look into entries and compare what they find
export type Entry = any;

/** Writes the entries about tokens that wait in the isolate. */
export async function flushTrail(): Promise<void> {
  const write = (rows: Parameters<typeof writeAuditRows>[1]) =>
    writeAuditRows(openDatabase(env.DB), rows, Date.now());
  await auditTrail.flush({ write }, Date.now());
}

/** The entries that a query finds, the newest first. What waits in the isolate is written before. */
export async function auditEntries(query: Readonly<Record<string, string>>): Promise<Entry[]> {
  await flushTrail();
  const { status, body } = await asOperator('GET', `/audit?${new URLSearchParams(query)}`);
  if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`);
  return body._embedded.auditEntries;
}
