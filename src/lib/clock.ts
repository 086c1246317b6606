// The two clocks of the service, behind one seam so that tests can stop, step and wind them.

export interface Clock {
  /** Wall-clock time, Unix milliseconds. May jump; only for what people or NovelAI read (expiry, log times). */
  wallMs(): number;
  /** Monotonic time in milliseconds from an arbitrary origin. All durations, deadlines and cooldowns use this one. */
  monotonicMs(): number;
  /** Calls `callback` once after `delayMs`; gives a function that cancels it. Never keeps the process alive by itself. */
  after(delayMs: number, callback: () => void): () => void;
}

/** Longest delay a Node timer can hold; a longer one would fire at once, so it is waited for in pieces. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    let timer: NodeJS.Timeout | undefined;
    const wait = (leftMs: number) => {
      const pieceMs = Math.min(Math.max(leftMs, 0), MAX_TIMER_MS);
      timer = setTimeout(() => (leftMs > pieceMs ? wait(leftMs - pieceMs) : callback()), pieceMs);
      timer.unref();
    };
    wait(delayMs);
    return () => clearTimeout(timer);
  },
};
