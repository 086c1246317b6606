// Time for deadlines: monotonic, never backwards, and without the time during which the event loop was blocked.

/** Lateness up to this is an ordinary slow turn of the event loop. */
const ORDINARY_LATENESS_MS = 1_000;
/** Granted on top, so that answers which arrived during the block are read before anything expires. */
const SETTLE_MS = 1_000;

/**
 * When the loop was blocked (or the machine slept), timers run before the answers that arrived meanwhile are read.
 * Expiring at once would throw out jobs for which slots are about to come free. So a deadline found long past, with no
 * call to the scheduler since, counts as a block: that time is taken off every deadline alike. It is granted only once
 * until some other call shows that the loop turns, so a caller that merely polls `expire` still expires jobs.
 */
export class DeadlineClock {
  readonly #nowMs: () => number;
  #lastMs = Number.NEGATIVE_INFINITY;
  #lastSignOfLifeMs = Number.NEGATIVE_INFINITY;
  #blockedMs = 0;
  #hasGranted = false;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** All time granted back so far. */
  get blockedMs(): number {
    return this.#blockedMs;
  }

  /** Monotonic time; a source that steps back is held still. */
  now(): number {
    this.#lastMs = Math.max(this.#lastMs, this.#nowMs());
    return this.#lastMs;
  }

  /** As `now`, and notes that the event loop turns. Every call that changes the scheduler uses it, but for `expire`. */
  nowAlive(): number {
    this.#lastSignOfLifeMs = this.now();
    this.#hasGranted = false;
    return this.#lastSignOfLifeMs;
  }

  /** A monotonic time in deadline time. */
  toDeadlineTime(monotonicMs: number): number {
    return monotonicMs - this.#blockedMs;
  }

  /** A deadline time as the monotonic time at which it falls due as things stand. */
  toMonotonic(deadlineTimeMs: number): number {
    return deadlineTimeMs + this.#blockedMs;
  }

  /** Given the earliest deadline (deadline time): grants blocked time if it shows that the loop was blocked. */
  grantIfBlocked(earliestMs: number): boolean {
    const nowMs = this.now();
    const lateMs = nowMs - Math.max(this.toMonotonic(earliestMs), this.#lastSignOfLifeMs);
    if (this.#hasGranted || lateMs <= ORDINARY_LATENESS_MS) return false;
    this.#blockedMs += lateMs + SETTLE_MS;
    this.#hasGranted = true;
    return true;
  }
}
