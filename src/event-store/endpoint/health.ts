/** The health of this subscription's endpoint (contract 10.4): table `health`, one row, kept in memory as well. */
import type { AttemptResult } from '../../domain/delivery.ts';
import { type EndpointHealth, HEALTHY, observe, probed } from '../../domain/endpoint-health.ts';
import type { StoreDatabase } from '../database.ts';

export class Health {
  readonly #database: StoreDatabase;
  #current: EndpointHealth | undefined;

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
    return row === undefined ? HEALTHY : { ...HEALTHY, ...(JSON.parse(row.figures) as EndpointHealth) };
  }

  #save(health: EndpointHealth): void {
    if (health === this.current) return;
    this.#database.run('INSERT OR REPLACE INTO health (one, figures) VALUES (1, ?)', JSON.stringify(health));
    this.#current = health;
  }
}
