/**
 * The proofs that were asked of this subscription's endpoints, and whether each was given (contract 10.7): table `proofs`, kept
 * in memory as well. A proof stays as long as a delivery waits for it or a late call may name it.
 */
import { DAY_MS } from '../../domain/limits.ts';
import type { StoreDatabase } from '../database.ts';

interface Proof {
  readonly askedAt: number;
  /** Null: not given. */
  readonly givenAt: number | null;
  /** Whether a test notification was stored that can give it. */
  readonly isTested: boolean;
}

type Row = { version: number; asked_at: number; given_at: number | null; tested: number };

/** A consumer may name a proof that it read from D1 some minutes ago. A proof that was given is kept this long. */
const GIVEN_KEPT_MS = DAY_MS;
/** Old proofs that are looked at when a new one is asked for. */
const FORGET_BITE = 100;

export class Proofs {
  readonly #database: StoreDatabase;
  readonly #isNamed: (version: number) => boolean;
  #kept: Map<number, Proof> | undefined;
  /** False only when it is known that no delivery waits for a proof that was given. */
  mayRelease = true;

  /** @param isNamed whether a stored delivery names the proof */
  constructor(database: StoreDatabase, isNamed: (version: number) => boolean) {
    this.#database = database;
    this.#isNamed = isNamed;
    database.whenRolledBack(() => {
      this.#kept = undefined;
      this.mayRelease = true;
    });
  }

  /** Asks for a proof, unless it was asked for already. @param version the version of the subscription that set the endpoint */
  ask(version: number, endpoint: string, now: number): void {
    if (this.#all.has(version)) return;
    this.#forgetOld(now);
    this.#database.run(
      'INSERT INTO proofs (version, endpoint, asked_at, given_at, tested) VALUES (?, ?, ?, NULL, 0)',
      version,
      endpoint,
      now,
    );
    this.#all.set(version, { askedAt: now, givenAt: null, isTested: false });
  }

  /** Whether a proof was given. One that nobody asked for was not. */
  isGiven(version: number): boolean {
    return (this.#all.get(version)?.givenAt ?? null) !== null;
  }

  find(version: number): Proof | undefined {
    return this.#all.get(version);
  }

  /** A test notification was stored whose success gives the proof. */
  markTested(version: number): void {
    const proof = this.#all.get(version);
    if (proof === undefined || proof.isTested) return;
    this.#database.run('UPDATE proofs SET tested = 1 WHERE version = ?', version);
    this.#all.set(version, { ...proof, isTested: true });
  }

  /** The endpoint answered a test: what was asked of the same endpoint earlier is given, too. */
  give(version: number, now: number): void {
    if (this.isGiven(version)) return;
    this.#give('endpoint = (SELECT endpoint FROM proofs WHERE version = ?)', now, version);
  }

  /** The operator has switched verification off: every proof counts as given. */
  giveAll(now: number): void {
    if ([...this.#all.values()].some(({ givenAt }) => givenAt === null)) this.#give('1', now);
  }

  /** The proofs that were given. */
  given(): number[] {
    return [...this.#all].filter(([, { givenAt }]) => givenAt !== null).map(([version]) => version);
  }

  #give(condition: string, now: number, ...values: number[]): void {
    this.#database.run(
      `UPDATE proofs SET given_at = ? WHERE given_at IS NULL AND ${condition}`,
      now,
      ...values,
    );
    this.#kept = undefined;
    this.mayRelease = true;
  }

  /** Forgets old proofs that no delivery names. A consumer that names one nevertheless finds it not given. */
  #forgetOld(now: number): void {
    const old = [...this.#all].slice(0, FORGET_BITE);
    for (const [version, { givenAt }] of old) {
      if (this.#isNamed(version) || (givenAt !== null && givenAt > now - GIVEN_KEPT_MS)) continue;
      this.#database.run('DELETE FROM proofs WHERE version = ?', version);
      this.#all.delete(version);
    }
  }

  get #all(): Map<number, Proof> {
    this.#kept ??= new Map(
      this.#database
        .rows<Row>('SELECT version, asked_at, given_at, tested FROM proofs ORDER BY version')
        .map((row) => [
          row.version,
          { askedAt: row.asked_at, givenAt: row.given_at, isTested: row.tested === 1 },
        ]),
    );
    return this.#kept;
  }
}
