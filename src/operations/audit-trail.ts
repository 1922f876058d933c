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
/*
 * The rooms of an isolate between two writes. Kinds of one event and outcome share a room if they are alike in whether they
 * name a customer, and a client. What a stranger makes up names neither, so it cannot take the room of what names them.
 * Kinds without room share one. All rows together stay below the 1,000 queries that D1 lets an invocation make.
 */
/** Kinds in a room whose entries name no customer. */
const NAMELESS_KINDS_MAX = 15;
/** Customers in a room. Each has room for its first kind, whatever the others do. */
const CUSTOMERS_MAX = 100;
/** Kinds in a room besides the first of each customer. */
const FURTHER_KINDS_MAX = 20;
/** Kinds of one customer in a room. */
const KINDS_OF_CUSTOMER_MAX = 8;
/** Rows that wait for D1 while it is away. Those that name no customer go first. */
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

/** What a room holds. */
interface Room {
  kinds: number;
  /** Kinds of each customer. */
  readonly ofCustomer: Map<string, number>;
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
  #rooms = new Map<string, Room>();
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
    this.#rooms = new Map();
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
        const namesCustomer = ({ customerId }: AuditRow) => (customerId === undefined ? 0 : 1);
        const all = [...this.#unwritten, ...rows].sort((a, b) => namesCustomer(a) - namesCustomer(b));
        this.#unwritten = all.slice(-UNWRITTEN_MAX);
      }
    }
  }

  /** The kind that an entry belongs to. The first of a kind has a log line of its own. */
  #kindOf(entry: AuditEntry): Kind {
    const { event, actor, customerId, clientId, address, outcome } = entry;
    const own = JSON.stringify([event, outcome, customerId, clientId, address]);
    const known = this.#kinds.get(own);
    if (known !== undefined) return known;
    if (this.#takeRoom(entry)) return this.#begin(own, entry);
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

  /** Takes room for a new kind, if there is some. */
  #takeRoom({ event, outcome, customerId, clientId }: AuditEntry): boolean {
    const key = JSON.stringify([event, outcome, customerId !== undefined, clientId !== undefined]);
    const room = this.#rooms.get(key) ?? { kinds: 0, ofCustomer: new Map<string, number>() };
    if (!hasRoom(room, customerId)) return false;
    room.kinds++;
    if (customerId !== undefined) room.ofCustomer.set(customerId, (room.ofCustomer.get(customerId) ?? 0) + 1);
    this.#rooms.set(key, room);
    return true;
  }
}

function hasRoom({ kinds, ofCustomer }: Room, customerId: string | undefined): boolean {
  if (customerId === undefined) return kinds < NAMELESS_KINDS_MAX;
  const own = ofCustomer.get(customerId);
  if (own === undefined) return ofCustomer.size < CUSTOMERS_MAX;
  return own < KINDS_OF_CUSTOMER_MAX && kinds - ofCustomer.size < FURTHER_KINDS_MAX;
}

/** The trail of this isolate. */
export const auditTrail = new AuditTrail((ms) => scheduler.wait(ms));
