// The two clocks of the service, behind one seam so that tests can stop, step and wind them.

export interface Clock {
  /** Wall-clock time, Unix milliseconds. May jump; only for what people or NovelAI read (expiry, log times). */
  wallMs(): number;
  /** Monotonic time in milliseconds from an arbitrary origin. All durations, deadlines and cooldowns use this one. */
  monotonicMs(): number;
  /** Calls `callback` once after `delayMs`; gives a function that cancels it. Never keeps the process alive by itself. */
  after(delayMs: number, callback: () => void): () => void;
}

/** Longest delay a Node timer can hold; longer ones would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(delayMs, 0), MAX_TIMER_MS));
    timer.unref();
    return () => clearTimeout(timer);
  },
};
