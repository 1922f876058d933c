/** D1: one thread for all queries, the real migrations, and the statements that drizzle makes. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from './clock.ts';
import { currentInvocation } from './invocation.ts';
import type { Meters } from './meters.ts';
import { ROOT, type Times } from './platform.ts';
import { between } from './queue.ts';
import { objectsOf, Sqlite, type Value } from './sqlite.ts';

interface D1Parts {
  readonly clock: Clock;
  readonly meters: Meters;
  readonly random: () => number;
  readonly times: Times;
}

interface Answer {
  readonly columns: readonly string[];
  readonly rows: Value[][];
  readonly changes: number;
}

class Statement {
  readonly text: string;
  readonly values: readonly unknown[];
  readonly #database: D1;

  constructor(database: D1, text: string, values: readonly unknown[] = []) {
    this.#database = database;
    this.text = text;
    this.values = values;
  }

  bind(...values: unknown[]): Statement {
    return new Statement(this.#database, this.text, values);
  }

  async all() {
    return resultOf((await this.#database.ask([this]))[0]);
  }

  run() {
    return this.all();
  }

  async raw(): Promise<Value[][]> {
    return (await this.#database.ask([this]))[0]?.rows ?? [];
  }

  async first(): Promise<Record<string, Value> | null> {
    return (await this.all()).results[0] ?? null;
  }
}

function resultOf(answer: Answer | undefined) {
  const { columns = [], rows = [], changes = 0 } = answer ?? {};
  return {
    success: true,
    results: objectsOf(columns, rows),
    meta: { changes, rows_read: rows.length, rows_written: changes, duration: 1 },
  };
}

export class D1 {
  readonly sqlite = new Sqlite();
  readonly #parts: D1Parts;
  #freeAt = 0;

  constructor(parts: D1Parts) {
    this.#parts = parts;
    const folder = join(ROOT, 'migrations');
    for (const file of readdirSync(folder).sort()) {
      this.sqlite.database.exec(readFileSync(join(folder, file), 'utf8'));
    }
  }

  prepare(text: string): Statement {
    return new Statement(this, text);
  }

  async batch(statements: readonly Statement[]) {
    return (await this.ask(statements)).map(resultOf);
  }

  withSession(): this {
    return this;
  }

  /** One round trip: the statements run in one transaction. */
  async ask(statements: readonly Statement[]): Promise<Answer[]> {
    const { clock, meters, random, times } = this.#parts;
    const caller = currentInvocation();
    caller?.subrequest();
    meters.d1Queries++;
    const networkMs = between(times.d1Network, random) / 2;
    const sentAt = Math.max(clock.now, caller?.busyUntil ?? 0);
    const reply = await new Promise<{ answers?: Answer[]; error?: unknown }>((resolve) => {
      clock.at(sentAt + networkMs, () => {
        let result: { answers?: Answer[]; error?: unknown };
        let rows = 0;
        try {
          const answers = this.sqlite.transaction(() =>
            statements.map(({ text, values }) => this.sqlite.query(text, values)),
          );
          for (const answer of answers) {
            rows += answer.rows.length + answer.changes;
            meters.units.d1RowsRead += answer.rows.length;
            meters.units.d1RowsWritten += answer.changes;
          }
          result = { answers };
        } catch (error) {
          result = { error: new Error(`D1_ERROR: ${error instanceof Error ? error.message : error}`) };
        }
        this.#freeAt = Math.max(clock.now, this.#freeAt) + times.d1Query + rows * times.d1Row;
        clock.at(this.#freeAt + networkMs, () => resolve(result), caller);
      });
    });
    if (reply.answers === undefined) throw reply.error;
    return reply.answers;
  }
}
