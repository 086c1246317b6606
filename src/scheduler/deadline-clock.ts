// Time for deadlines: monotonic, never backwards, and without the time during which the event loop was blocked.

/** Lateness up to this is an ordinary slow turn of the event loop. */
const ORDINARY_LATENESS_MS = 1_000;
/** Most of the time before the missed deadline, but after the last call, that is taken for blocked as well. */
const UNSEEN_MS = 30_000;
/** Granted on top, so that answers which arrived during the block are read before anything expires. */
const SETTLE_MS = 1_000;

/**
 * When the loop was blocked (or the machine slept), timers may run before the answers that arrived meanwhile are read.
 * Expiring at once would throw out jobs for which slots are about to come free. So a deadline found long past, with no
 * call to the scheduler since, counts as a block, and that time is taken off every deadline alike. One grant must be
 * followed by a call of `expire` before there can be another, so a caller that merely polls `expire` still expires jobs,
 * one poll later.
 */
export class DeadlineClock {
  readonly #nowMs: () => number;
  #lastMs = Number.NEGATIVE_INFINITY;
  #lastTurnMs = Number.NEGATIVE_INFINITY;
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

  /**
   * As `now`, and notes that the event loop turns. Given the earliest deadline that is waited for (deadline time), it
   * grants blocked time when that deadline shows that the loop was blocked.
   */
  turn(earliestMs: number): number {
    const nowMs = this.now();
    const lateMs = nowMs - Math.max(this.toMonotonic(earliestMs), this.#lastTurnMs);
    if (lateMs > ORDINARY_LATENESS_MS && lateMs < Number.POSITIVE_INFINITY && !this.#hasGranted) {
      // The block began somewhere between the last call and the missed deadline: in favour of those who wait.
      this.#blockedMs += Math.min(nowMs - this.#lastTurnMs, lateMs + UNSEEN_MS) + SETTLE_MS;
      this.#hasGranted = true;
    }
    this.#lastTurnMs = nowMs;
    return nowMs;
  }

  /** As `turn`, for `expire`: gives the deadline time up to which jobs are to go, undefined right after a grant. */
  turnToExpire(earliestMs: number): number | undefined {
    const blockedBeforeMs = this.#blockedMs;
    const nowMs = this.turn(earliestMs);
    if (this.#blockedMs > blockedBeforeMs) return undefined;
    this.#hasGranted = false;
    return this.toDeadlineTime(nowMs);
  }

  /** A monotonic time in deadline time. */
  toDeadlineTime(monotonicMs: number): number {
    return monotonicMs - this.#blockedMs;
  }

  /** A deadline time as the monotonic time at which it falls due as things stand. */
  toMonotonic(deadlineTimeMs: number): number {
    return deadlineTimeMs + this.#blockedMs;
  }
}
