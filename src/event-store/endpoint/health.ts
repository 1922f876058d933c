/**
 * The health of this subscription's endpoint (contract 10.4): table `health`, one row, kept in memory as well.
 *
 * The first failure in a row of a healthy endpoint is in memory alone: with the next success it would be a second row written for
 * nothing. The next failure writes both. Its retry comes after 3 s, before an object without calls is evicted.
 *
 * The row also counts the deliveries that ended in failure, because they were held or attempted to their end (contract 10.16): the failure
 * that ends one changes the health in most cases, so the count costs no row of its own.
 */
import type { AttemptResult } from '../../domain/delivery.ts';
import { type EndpointHealth, HEALTHY, informed, observe, probed } from '../../domain/endpoint-health.ts';
import { PROBE_WAIT_FIRST_MS, PROBE_WAIT_MAX_MS } from '../../domain/limits.ts';
import type { EndpointNews } from '../../domain/subscription.ts';
import type { StoreDatabase } from '../database.ts';

export class Health {
  readonly #database: StoreDatabase;
  readonly #isHome: () => boolean;
  #current: EndpointHealth | undefined;
  /** Deliveries that have ended in failure. */
  #ended = 0;
  /** The figures as the row has them. */
  #written = '';

  /** @param isHome whether this store probes early; another store of the subscription has its first probe after the longest wait */
  constructor(database: StoreDatabase, isHome: () => boolean) {
    this.#database = database;
    this.#isHome = isHome;
    database.whenRolledBack(() => {
      this.#current = undefined;
    });
  }

  get current(): EndpointHealth {
    this.#current ??= this.#load();
    return this.#current;
  }

  /** Deliveries that have ended in failure, because they were held or attempted to their end, since the store began to count. */
  get ended(): number {
    this.#current ??= this.#load();
    return this.#ended;
  }

  /**
   * Takes in the results of attempts, in order.
   * @param ended how many of the deliveries ended in failure by them
   */
  observe(results: readonly AttemptResult[], now: number, ended: number): void {
    let health = this.current;
    for (const { outcome, durationMs, startedAt } of results)
      health = observe(health, outcome, durationMs, now, this.#firstWaitMs, startedAt + durationMs);
    this.#save(health, ended);
  }

  /** Deliveries ended in failure without a result. */
  countEnded(count: number): void {
    this.#save(this.current, count);
  }

  /** Another store of the subscription found this. */
  inform({ state, since }: EndpointNews, now: number): void {
    this.#save(informed(this.current, state, since, now, this.#firstWaitMs));
  }

  get #firstWaitMs(): number {
    return this.#isHome() ? PROBE_WAIT_FIRST_MS : PROBE_WAIT_MAX_MS;
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
    const { ended = 0, ...figures } =
      row === undefined ? {} : (JSON.parse(row.figures) as Partial<EndpointHealth> & { ended?: number });
    const health = row === undefined ? HEALTHY : { ...HEALTHY, ...figures };
    this.#ended = ended;
    this.#written = this.#figuresOf(health);
    return health;
  }

  #figuresOf(health: EndpointHealth): string {
    return JSON.stringify(this.#ended === 0 ? health : { ...health, ended: this.#ended });
  }

  #save(health: EndpointHealth, ended = 0): void {
    if (health === this.current && ended === 0) return;
    this.#ended += ended;
    const isFirstFailure = health.state === 'healthy' && health.failed === 1;
    const figures = this.#figuresOf(isFirstFailure ? { ...health, failed: 0 } : health);
    if (figures !== this.#written)
      this.#database.run('INSERT OR REPLACE INTO health (one, figures) VALUES (1, ?)', figures);
    this.#written = figures;
    this.#current = health;
  }
}
