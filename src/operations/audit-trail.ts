/**
 * The audit trail (contract 10.7): who did what. There are two ways into it.
 *
 * **A change** writes its row in the batch of the change, all or nothing, and then its log line. An act outside D1 has its
 * row before it.
 *
 * **A token, given or refused,** changes nothing in D1, comes at any rate and from anybody, and D1 has one thread that every
 * delivery needs. So an isolate holds such entries for `WRITE_EVERY_MS`, joins those that are alike, and writes the rest in
 * one batch. No answer waits for it, and no guess costs a query. An isolate that dies takes the entries of those seconds with
 * it: the first of each kind has its log line already. To write each at once would let anybody keep D1 busy
 * (docs/decisions/0022-a-trace-of-who-did-what.md).
 */
import { type AuditEntry, type AuditRow, auditRow } from '../domain/audit.ts';
import { outageBehind } from '../domain/errors.ts';
import { SECOND_MS } from '../domain/limits.ts';
import { logError, logInfo, logWarn } from '../log.ts';

/** From the first entry to the write of all. The platform ends work that goes on for 30 s after the answer. */
const WRITE_EVERY_MS = 10 * SECOND_MS;
/** A write that is so late does not come: its invocation has ended early. */
const WRITE_LATE_MS = 20 * SECOND_MS;
/**
 * Kinds of one event and outcome that an isolate counts by themselves between two writes. Others share one row. Those that name a client
 * have room of their own: made-up ids must not hide guesses at a client that exists.
 */
const KINDS_MAX = 30;
/** Of these, kinds of one customer: it must not hide what the clients of others do. */
const KINDS_OF_CUSTOMER_MAX = 8;
/** Rows that wait for D1 while it is away. */
const UNWRITTEN_MAX = 200;

interface TrailNeeds {
  /** Writes rows; a row that is stored already stays as it is. */
  write(rows: readonly AuditRow[]): Promise<void>;
  waitUntil(work: Promise<unknown>): void;
}

interface Kind {
  readonly entry: AuditEntry;
  count: number;
}

/** The row of something that happens now (ms). */
export function newAuditRow(entry: AuditEntry, now: number, count = 1): AuditRow {
  return auditRow(entry, now, count, crypto.getRandomValues(new Uint8Array(16)));
}

/** Writes the log line of an entry. */
export function logAudit({ event, ...entry }: AuditEntry, count = 1): void {
  const { actor, customerId, clientId, target, address, requestId, callerRequestId, outcome } = entry;
  const who = { actor, customerId, clientId, target, address, outcome, count, requestId, callerRequestId };
  if (event.endsWith('-refused')) logWarn('audit', { action: event, ...who });
  else logInfo('audit', { action: event, ...who });
}

/** The entries of one isolate about tokens that are not written yet. */
export class AuditTrail {
  readonly #sleep: (ms: number) => Promise<void>;
  #kinds = new Map<string, Kind>();
  /** Rows that D1 did not take. They keep their ids, so that D1 may take them twice. */
  #unwritten: readonly AuditRow[] = [];
  /** When the next write is due, ms; undefined: none is arranged. */
  #dueAt: number | undefined;

  constructor(sleep: (ms: number) => Promise<void>) {
    this.#sleep = sleep;
  }

  /** Notes an entry, and arranges that it is written. It throws nothing, and nothing waits for it. */
  note(entry: AuditEntry, needs: TrailNeeds, now: number): void {
    this.#kindOf(entry).count++;
    if (this.#dueAt !== undefined && now <= this.#dueAt + WRITE_LATE_MS) return;
    this.#dueAt = now + WRITE_EVERY_MS;
    needs.waitUntil(this.#sleep(WRITE_EVERY_MS).then(() => this.flush(needs, Date.now())));
  }

  /** Writes what is noted, and logs how often each kind came. It never rejects. */
  async flush({ write }: Pick<TrailNeeds, 'write'>, now: number): Promise<void> {
    const kinds = [...this.#kinds.values()];
    const rows = [...this.#unwritten, ...kinds.map(({ entry, count }) => newAuditRow(entry, now, count))];
    this.#kinds = new Map();
    this.#unwritten = [];
    this.#dueAt = undefined;
    for (const { entry, count } of kinds) if (count > 1) logAudit(entry, count - 1);
    if (rows.length === 0) return;
    try {
      await write(rows);
    } catch (error) {
      logError('audit entries not written', error, { count: rows.length });
      // Rows that D1 refuses would be refused for ever.
      if (outageBehind(error) !== undefined) {
        this.#unwritten = [...this.#unwritten, ...rows].slice(-UNWRITTEN_MAX);
      }
    }
  }

  /** The kind that an entry belongs to. The first of a kind has a log line of its own. */
  #kindOf(entry: AuditEntry): Kind {
    const { event, actor, customerId, clientId, address, outcome } = entry;
    const own = JSON.stringify([event, outcome, customerId, clientId, address]);
    const known = this.#kinds.get(own);
    if (known !== undefined) return known;
    if (this.#hasRoom(entry)) return this.#begin(own, entry);
    const shared = { event, actor, outcome };
    const others = JSON.stringify([event, outcome]);
    return this.#kinds.get(others) ?? this.#begin(others, shared);
  }

  #begin(key: string, entry: AuditEntry): Kind {
    const kind = { entry, count: 0 };
    this.#kinds.set(key, kind);
    logAudit(entry);
    return kind;
  }

  #hasRoom({ event, outcome, customerId, clientId }: AuditEntry): boolean {
    const ofEvent = [...this.#kinds.values()].filter(
      ({ entry }) =>
        entry.event === event &&
        entry.outcome === outcome &&
        (entry.clientId === undefined) === (clientId === undefined),
    );
    if (ofEvent.length >= KINDS_MAX) return false;
    const ofCustomer = ofEvent.filter(({ entry }) => entry.customerId === customerId);
    return customerId === undefined || ofCustomer.length < KINDS_OF_CUSTOMER_MAX;
  }
}

/** The trail of this isolate. */
export const auditTrail = new AuditTrail((ms) => scheduler.wait(ms));
