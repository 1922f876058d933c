/**
 * All time limits of one invocation, with one timer of the platform between them: it is set for the one that ends first. Nearly everything
 * ends long before its limit, so a limit costs an entry in a set, and no timer of its own. The timer stays when its limit is canceled,
 * because the next one can use it; when it rings, what is left of the others is known.
 *
 * A limit that was there when the timer was set has used up what the timer was set for. One that came later has used up what
 * the clock says. So no limit ends early because the clock stood still.
 */
interface Limit {
  /** What was left when the timer was set, or when the limit came, ms. */
  left: number;
  /** When it came, by the clock; `undefined` when it was there before the timer. */
  cameAt: number | undefined;
  readonly run: () => void;
}

/** Runs something when so many ms have passed. @returns what cancels it */
export type After = (ms: number, run: () => void) => () => void;

export class Deadlines {
  readonly #now: () => number;
  readonly #limits = new Set<Limit>();
  #timer: number | null = null;
  #setAt = 0;
  #setFor = 0;
  #isEnding = false;

  constructor(now: () => number) {
    this.#now = now;
  }

  readonly after: After = (ms, run) => {
    const limit: Limit = { left: ms, cameAt: this.#now(), run };
    this.#limits.add(limit);
    if (this.#timer === null || ms < this.#setFor - this.#passed()) {
      this.#charge(this.#timer === null ? 0 : this.#passed());
      this.#set();
    }
    return () => {
      this.#limits.delete(limit);
      if (this.#isEnding && this.#limits.size === 0) this.#stop();
    };
  };

  /** Waits for work, but not longer than this. @returns whether it ended in time, also when it failed */
  async isWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
    return await new Promise<boolean>((resolve) => {
      const cancel = this.after(ms, () => resolve(false));
      const end = () => {
        cancel();
        resolve(true);
      };
      work.then(end, end);
    });
  }

  /** No more limits are expected: the timer goes with the last one. */
  end(): void {
    this.#isEnding = true;
    if (this.#limits.size === 0) this.#stop();
  }

  /** For how long the timer has run, by the clock. */
  #passed(): number {
    return Math.min(Math.max(this.#now() - this.#setAt, 0), this.#setFor);
  }

  /** Takes from each limit what has passed. @param ms for how long the timer has run */
  #charge(ms: number): void {
    const now = this.#now();
    for (const limit of this.#limits) {
      limit.left -= limit.cameAt === undefined ? ms : Math.max(now - limit.cameAt, 0);
      limit.cameAt = undefined;
    }
  }

  #set(): void {
    this.#stop();
    let least = Number.POSITIVE_INFINITY;
    for (const { left } of this.#limits) least = Math.min(least, left);
    if (least === Number.POSITIVE_INFINITY) return;
    this.#setAt = this.#now();
    this.#setFor = Math.max(least, 0);
    this.#timer = setTimeout(() => this.#ring(), this.#setFor);
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  #ring(): void {
    this.#timer = null;
    this.#charge(this.#setFor);
    const over = [...this.#limits].filter(({ left }) => left <= 0);
    for (const limit of over) this.#limits.delete(limit);
    this.#set();
    for (const { run } of over) run();
  }
}
