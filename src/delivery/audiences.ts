/**
 * Audiences that an isolate remembers: the subscriptions of customers, as consumers need them. D1 has one thread for all deliveries, and a
 * customer may have a thousand subscriptions.
 *
 * A change of a subscription counts for every event that is accepted after the answer to the change (contract 3.5). So what is remembered
 * is used in two ways only:
 * - For events that were accepted before it was read, it is used as it is, for `AUDIENCE_MAX_AGE_MS`. This spares D1 while there is a
 *   backlog. What happened since then may be missing; stores decide about disabled and deleted subscriptions, as they always do.
 * - For any other event D1 is asked whether it is still the present one. Its revision says so, and then D1 reads one row.
 */
import { BoundedCache } from '../bounded-cache.ts';
import type { Recipient } from '../domain/subscription.ts';
import type { Audience, KnownAudience, ReadAudience } from '../storage/recipients.ts';
import { AUDIENCE_MAX_AGE_MS, AUDIENCES_MAX_BYTES, CLOCKS_DIFFER_MS } from './tuning.ts';

/** @returns by customer id; those that do not exist are missing, and one that is `unchanged` is as it is known */
type LoadAudiences = (
  customerIds: readonly string[],
  known: ReadonlyMap<string, string>,
) => Promise<ReadonlyMap<string, ReadAudience | KnownAudience>>;

interface Kept {
  readonly audience: ReadAudience;
  /** When the question was sent whose answer this is, ms. */
  readonly readAt: number;
}

export class Audiences {
  readonly #kept: BoundedCache<Kept>;

  constructor(maxBytes: number = AUDIENCES_MAX_BYTES) {
    this.#kept = new BoundedCache(maxBytes, ({ audience }) => bytesOf(audience));
  }

  /** What the audiences keep in memory, about. */
  get bytes(): number {
    return this.#kept.size;
  }

  /**
   * @param acceptedAt when the newest of the events was accepted, ms
   * @returns by customer id; customers that do not exist are missing
   */
  async find(
    customerIds: readonly string[],
    acceptedAt: number,
    now: number,
    load: LoadAudiences,
  ): Promise<Map<string, Audience>> {
    const found = new Map<string, Audience>();
    const known = new Map<string, ReadAudience>();
    for (const id of customerIds) {
      const kept = this.#kept.get(id);
      if (kept === undefined) continue;
      const isAfterEvents = kept.readAt > acceptedAt + CLOCKS_DIFFER_MS;
      if (isAfterEvents && kept.readAt > now - AUDIENCE_MAX_AGE_MS) found.set(id, kept.audience);
      else known.set(id, kept.audience);
    }
    const asked = customerIds.filter((id) => !found.has(id));
    if (asked.length === 0) return found;
    const revisions = new Map([...known].map(([id, { revision }]) => [id, revision]));
    const answers = await load(asked, revisions);
    for (const id of asked) {
      const audience = presentOf(answers.get(id), known.get(id));
      if (audience === undefined) {
        this.#kept.delete(id);
      } else {
        found.set(id, audience);
        this.#kept.set(id, { audience, readAt: now });
      }
    }
    return found;
  }
}

function presentOf(
  answer: ReadAudience | KnownAudience | undefined,
  known: ReadAudience | undefined,
): ReadAudience | undefined {
  if (answer === undefined || 'subscriptions' in answer) return answer;
  return known && { ...known, key: answer.key };
}

/** Text takes two bytes a character at most; the rest is an object with ten members. */
function bytesOf({ subscriptions }: Audience): number {
  const each = ({ endpoint }: Recipient) => 500 + 2 * endpoint.length;
  return subscriptions.reduce((sum, one) => sum + each(one), 200);
}

const ofDatabases = new WeakMap<object, Audiences>();

/** Those that this isolate remembers of a database. */
export function audiencesOf(database: object): Audiences {
  const known = ofDatabases.get(database);
  if (known !== undefined) return known;
  const audiences = new Audiences();
  ofDatabases.set(database, audiences);
  return audiences;
}
