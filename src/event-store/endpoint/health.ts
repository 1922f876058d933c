/** Health of this subscription's endpoint (contract 10.4): one row, kept in memory as well, written when it changes. */
import type { AttemptResult } from '../../domain/delivery.ts';
import { type EndpointHealth, HEALTHY, observe, probed } from '../../domain/endpoint-health.ts';

export class Health {
  readonly #sql: SqlStorage;
  #current: EndpointHealth | undefined;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  get current(): EndpointHealth {
    this.#current ??= this.#load();
    return this.#current;
  }

  /** Takes in what attempts told, in order. */
  observe(results: readonly AttemptResult[], now: number): void {
    let health = this.current;
    for (const { outcome, durationMs } of results) health = observe(health, outcome, durationMs, now);
    this.#save(health);
  }

  /** The endpoint is another one now, of which nothing is known. */
  reset(now: number): void {
    if (this.current !== HEALTHY) this.#save({ ...HEALTHY, since: now });
  }

  /** A held delivery was let go as a probe. */
  probed(now: number, patienceMs: number): void {
    this.#save(probed(this.current, now, patienceMs));
  }

  /** Forgets what stands in memory: the row was rolled back, or everything was deleted. */
  forget(): void {
    this.#current = undefined;
  }

  #load(): EndpointHealth {
    const row = this.#sql.exec<{ figures: string }>('SELECT figures FROM health').toArray()[0];
    // Written by `#save` alone; a figure that came later has its first value.
    return row === undefined ? HEALTHY : { ...HEALTHY, ...(JSON.parse(row.figures) as EndpointHealth) };
  }

  #save(health: EndpointHealth): void {
    if (health === this.current) return;
    this.#sql.exec('INSERT OR REPLACE INTO health (one, figures) VALUES (1, ?)', JSON.stringify(health));
    this.#current = health;
  }
}
