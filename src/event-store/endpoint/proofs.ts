/**
 * The proofs that were asked of this subscription's endpoints, and whether each was given (contract 10.8): table `proofs`, kept
 * in memory as well. There are at most `PROOFS_MAX`, because a customer decides how often its endpoint changes. What waits for a
 * proof that was forgotten ends as if the proof was never given.
 *
 * While the operator has switched verification off, every proof counts as given. The next call writes that down.
 */
import { PROOFS_MAX } from '../../domain/limits.ts';
import type { StoreDatabase } from '../database.ts';

interface Proof {
  readonly askedAt: number;
  /** Null: not given. */
  readonly givenAt: number | null;
  /** Whether a test notification was stored that can give it. */
  readonly isTested: boolean;
}

type Row = { version: number; asked_at: number; given_at: number | null; tested: number };

export class Proofs {
  readonly #database: StoreDatabase;
  readonly #isNamed: (version: number) => boolean;
  readonly #isOn: () => boolean;
  #kept: Map<number, Proof> | undefined;
  /** False only when it is known that no delivery waits for a proof that was given. */
  mayRelease = true;

  /**
   * @param isNamed whether a stored delivery names the proof
   * @param isOn whether the operator has switched verification on
   */
  constructor(database: StoreDatabase, isNamed: (version: number) => boolean, isOn: () => boolean) {
    this.#isOn = isOn;
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
    this.#makeRoom();
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
    return !this.#isOn() || this.#wasGiven(version);
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

  /** The endpoint answered a test: every proof that was asked of the same URL is given, too. */
  give(version: number, now: number): void {
    if (this.#wasGiven(version)) return;
    this.#give('endpoint = (SELECT endpoint FROM proofs WHERE version = ?)', now, version);
  }

  /** Notes that every proof counts as given while verification is off, so that what waits is released. */
  giveAllIfOff(now: number): void {
    if (this.#isOn()) return;
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

  #wasGiven(version: number): boolean {
    return (this.#all.get(version)?.givenAt ?? null) !== null;
  }

  /**
   * Makes room for another proof: forgets one that was not given, of no delivery if there is one, else the oldest. A proof that
   * was given stays as long as there is room, because a consumer may name it that has not seen the latest change.
   */
  #makeRoom(): void {
    if (this.#all.size < PROOFS_MAX) return;
    const kept = [...this.#all].toSorted(([a], [b]) => a - b);
    const notGiven = kept.filter(([, { givenAt }]) => givenAt === null);
    const [oldest] = notGiven.find(([version]) => !this.#isNamed(version)) ?? notGiven[0] ?? kept[0] ?? [];
    if (oldest !== undefined) this.#forget(oldest);
  }

  #forget(version: number): void {
    this.#database.run('DELETE FROM proofs WHERE version = ?', version);
    this.#all.delete(version);
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
