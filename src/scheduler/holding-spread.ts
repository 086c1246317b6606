// How far real holding times stray from their estimates: the last few hundred ratios, to draw likely durations from.

const KEPT_RATIOS = 256;
/** What is believed before anything was seen: a modest spread around the estimate. */
const PRIOR_RATIOS = [0.75, 0.85, 0.9, 0.95, 1, 1, 1.05, 1.1, 1.15, 1.25];
/** A job that outlasted every ratio seen is expected to need this much more of its estimate. */
const OVERTIME_RATIO = 0.1;

/** A sorted picture of the spread, for drawing many durations. */
export interface DurationSampler {
  readonly meanRatio: number;
  /** A likely duration for an estimate; `u` in [0, 1). */
  drawMs: (estimateMs: number, u: number) => number;
  /** A likely rest of a duration of which `elapsedMs` have passed. */
  drawRestMs: (estimateMs: number, elapsedMs: number, u: number) => number;
}

export class HoldingSpread {
  readonly #ratios = new Float64Array(KEPT_RATIOS);
  #seen = 0;

  observe(estimateMs: number, heldMs: number): void {
    this.#ratios[this.#seen % KEPT_RATIOS] = heldMs / estimateMs;
    this.#seen += 1;
  }

  sampler(): DurationSampler {
    const seen = this.#ratios.subarray(0, Math.min(this.#seen, KEPT_RATIOS));
    // The prior fades: it makes up the sample while little was seen and is gone after a few dozen jobs.
    const prior = seen.length < 3 * PRIOR_RATIOS.length ? PRIOR_RATIOS : [];
    const ratios = Float64Array.from([...seen, ...prior]).toSorted();
    const meanRatio = ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length;
    const at = (index: number): number => ratios[Math.min(index, ratios.length - 1)] ?? 1;
    return {
      meanRatio,
      drawMs: (estimateMs, u) => estimateMs * at(Math.floor(u * ratios.length)),
      drawRestMs: (estimateMs, elapsedMs, u) => {
        const passed = countUpTo(ratios, elapsedMs / estimateMs);
        if (passed === ratios.length) return estimateMs * OVERTIME_RATIO;
        return estimateMs * at(passed + Math.floor(u * (ratios.length - passed))) - elapsedMs;
      },
    };
  }
}

/** How many of the sorted numbers are at most `limit`. */
function countUpTo(sorted: Float64Array, limit: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as number) <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
