/** What a statement takes; a row gives bytes back as an `ArrayBuffer`. */
export type Binding = SqlStorageValue | Uint8Array;

/**
 * The SQLite database of one event store, and the memory that goes with its rows.
 *
 * Some parts keep in memory what their rows say, because an object is asked thousands of times for each row it reads. Such
 * a part says so with `whenRolledBack`: after a transaction that failed, its memory would tell of rows that are gone.
 */
export class StoreDatabase {
  readonly #storage: DurableObjectStorage;
  readonly #forget: (() => void)[] = [];
  readonly #finish: (() => void)[] = [];
  #writes = 0;
  /** Transactions within transactions. */
  #depth = 0;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
  }

  rows<Row extends Record<string, SqlStorageValue>>(query: string, ...values: Binding[]): Row[] {
    return this.#storage.sql.exec<Row>(query, ...values).toArray();
  }

  /** The first row; `undefined` when there is none. */
  first<Row extends Record<string, SqlStorageValue>>(query: string, ...values: Binding[]): Row | undefined {
    return this.rows<Row>(query, ...values)[0];
  }

  /** Writes. */
  run(query: string, ...values: Binding[]): void {
    this.#writes++;
    this.#storage.sql.exec(query, ...values);
  }

  /** How many statements have written since the object woke. */
  get writes(): number {
    return this.#writes;
  }

  /** Bytes that the database takes, without pages that are free. */
  get bytes(): number {
    return this.#storage.sql.databaseSize;
  }

  get isInTransaction(): boolean {
    return this.#depth > 0;
  }

  /** Does the work, all of it or nothing. */
  transaction<Answer>(work: () => Answer): Answer {
    this.#depth++;
    try {
      return this.#storage.transactionSync(() => {
        const answer = work();
        if (this.#depth === 1) for (const finish of this.#finish) finish();
        return answer;
      });
    } catch (error) {
      for (const forget of this.#forget) forget();
      throw error;
    } finally {
      this.#depth--;
    }
  }

  /** Calls `finish` at the end of every transaction, as a part of it. */
  beforeCommit(finish: () => void): void {
    this.#finish.push(finish);
  }

  /** Calls `forget` after every transaction that was rolled back. */
  whenRolledBack(forget: () => void): void {
    this.#forget.push(forget);
  }
}
