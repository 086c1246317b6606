// The wall clock as the ledger uses it: it never goes back, so no budget's day opens twice and no age is negative.
import type { Clock } from '../lib/clock.ts';

/** A clock that is further behind than this was wrong before, not merely corrected. */
const MAX_STANDSTILL_MS = 86_400_000;

export class LedgerClock {
  readonly #clock: Clock;
  #greatestMs: number;
  #atMonotonicMs: number;

  /** `greatestMs` is the latest time that the ledger has written down. */
  constructor(clock: Clock, greatestMs: number) {
    this.#clock = clock;
    this.#greatestMs = greatestMs;
    this.#atMonotonicMs = clock.monotonicMs();
  }

  /**
   * Unix milliseconds, never less than before. While the wall clock is behind by up to a day it stands still, so that it is
   * right again soon; further behind (the clock had been years ahead), it runs on by itself, so that days still change.
   */
  nowMs(): number {
    const wallMs = Math.floor(this.#clock.wallMs());
    const monotonicMs = this.#clock.monotonicMs();
    if (this.#greatestMs - wallMs > MAX_STANDSTILL_MS) {
      const elapsedMs = Math.floor(monotonicMs - this.#atMonotonicMs);
      this.#greatestMs += elapsedMs;
      this.#atMonotonicMs += elapsedMs;
    } else {
      this.#greatestMs = Math.max(this.#greatestMs, wallMs);
      this.#atMonotonicMs = monotonicMs;
    }
    return this.#greatestMs;
  }

  /** How far the wall clock is behind what the ledger has written down; more than a few seconds is worth a warning. */
  get lagMs(): number {
    return Math.max(this.#greatestMs - this.#clock.wallMs(), 0);
  }
}
