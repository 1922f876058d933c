/**
 * The health of this subscription's endpoint (contract 10.4): table `health`, one row, kept in memory as well.
 *
 * The first failure in a row of a healthy endpoint is in memory alone: with the next success it would be a second row written for
 * nothing. The next failure writes both. Its retry comes after 3 s, before an object without calls is evicted.
 */
import type { AttemptResult } from '../../domain/delivery.ts';
import { type EndpointHealth, HEALTHY, observe, probed } from '../../domain/endpoint-health.ts';
import type { StoreDatabase } from '../database.ts';

export class Health {
  readonly #database: StoreDatabase;
  #current: EndpointHealth | undefined;
  /** The figures as the row has them. */
  #written = '';

  constructor(database: StoreDatabase) {
    this.#database = database;
    database.whenRolledBack(() => {
      this.#current = undefined;
    });
  }

  get current(): EndpointHealth {
    this.#current ??= this.#load();
    return this.#current;
  }

  /** Takes in the results of attempts, in order. */
  observe(results: readonly AttemptResult[], now: number): void {
    let health = this.current;
    for (const { outcome, durationMs } of results) health = observe(health, outcome, durationMs, now);
    this.#save(health);
  }

  /** The subscription has another endpoint now, of which nothing is known. */
  reset(now: number): void {
    if (this.current !== HEALTHY) this.#save({ ...HEALTHY, since: now });
  }

  /** A held delivery was released as a probe. @param patienceMs how long its result may take */
  probed(now: number, patienceMs: number): void {
    this.#save(probed(this.current, now, patienceMs));
  }

  #load(): EndpointHealth {
    const row = this.#database.first<{ figures: string }>('SELECT figures FROM health');
    // `#save` alone writes the row. A figure that a later version added has its first value.
    const health =
      row === undefined ? HEALTHY : { ...HEALTHY, ...(JSON.parse(row.figures) as EndpointHealth) };
    this.#written = JSON.stringify(health);
    return health;
  }

  #save(health: EndpointHealth): void {
    if (health === this.current) return;
    const isFirstFailure = health.state === 'healthy' && health.failed === 1;
    const figures = JSON.stringify(isFirstFailure ? { ...health, failed: 0 } : health);
    if (figures !== this.#written)
      this.#database.run('INSERT OR REPLACE INTO health (one, figures) VALUES (1, ?)', figures);
    this.#written = figures;
    this.#current = health;
  }
}
