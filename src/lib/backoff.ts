// Growing pauses between tries.

export interface BackoffOptions {
  /** First pause. */
  baseMs: number;
  /** Longest pause, before jitter. */
  maxMs: number;
  /** Share of the pause that chance may add, 0-1. */
  jitter?: number;
}

/**
 * Gives the pause before try number `failures + 1`: base, 2x, 4x ... up to `maxMs`, and up to `jitter` of it on top, so that
 * several waiters do not come back in step. `random` gives 0 <= x < 1.
 */
export function backoffMs(
  failures: number,
  { baseMs, maxMs, jitter = 0 }: BackoffOptions,
  random: () => number,
): number {
  const pause = Math.min(baseMs * 2 ** Math.min(Math.max(failures - 1, 0), 30), maxMs);
  return pause * (1 + jitter * random());
}
