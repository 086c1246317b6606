// A timer for limits on others: time during which this process itself stood still is not held against them.
import type { Clock } from './clock.ts';

/** Enough to read what arrived while the event loop was blocked. */
const MOST_GRACE_MS = 1000;
/** Timers are as late as this on any busy machine. */
const ORDINARY_LATENESS_MS = 20;

/**
 * As `clock.after`, but for limits on how long somebody else may take. When the event loop was blocked (or the machine slept),
 * timers run before what arrived meanwhile is read: a peer that answered in time would be cut off. So a timer that is late waits
 * once more, as long as it was late and at most a second.
 */
export function afterPatiently(clock: Clock, delayMs: number, callback: () => void): () => void {
  const dueMs = clock.monotonicMs() + delayMs;
  let stop = clock.after(delayMs, () => {
    const lateMs = clock.monotonicMs() - dueMs;
    if (lateMs <= ORDINARY_LATENESS_MS) callback();
    else stop = clock.after(Math.min(lateMs, MOST_GRACE_MS), callback);
  });
  return () => stop();
}
