// The simulator's two clocks: a wall clock that jumps on command, and a steady one for the truth log.

export class SimulatorClock {
  #offsetMs = 0;
  readonly #timers = new Map<NodeJS.Timeout, () => void>();
  #isStopped = false;

  /** Unix milliseconds, with all jumps so far. Tokens, allowance and `Date` headers read this one. */
  wallMs(): number {
    return Date.now() + this.#offsetMs;
  }

  wallSeconds(): number {
    return Math.floor(this.wallMs() / 1000);
  }

  /** `performance.now()` of this process: never jumps. */
  monotonicMs(): number {
    return performance.now();
  }

  /** Moves the wall clock; negative moves it back. Running generations are not touched. */
  advance(byMs: number): void {
    this.#offsetMs += byMs;
  }

  /** Resolves after `delayMs` of real time, at once when it is not positive, and early when the simulator closes. */
  wait(delayMs: number): Promise<void> {
    if (!(delayMs > 0) || this.#isStopped) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        resolve();
      }, delayMs);
      this.#timers.set(timer, resolve);
    });
  }

  /** Ends every wait now, and those to come. */
  stop(): void {
    this.#isStopped = true;
    for (const [timer, resolve] of this.#timers) {
      clearTimeout(timer);
      resolve();
    }
    this.#timers.clear();
  }
}
