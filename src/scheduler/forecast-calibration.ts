// Learns how far forecasts are off and corrects the next ones, so that a p90 is met in 90 of 100 cases.

/** Depths (forecast waits) that are corrected apart, since what is near errs otherwise than what is far. */
const DEPTHS = [
  { endMs: 5_000, sampleEveryMs: 2_000 },
  { endMs: 20_000, sampleEveryMs: 5_000 },
  { endMs: 60_000, sampleEveryMs: 15_000 },
  { endMs: 300_000, sampleEveryMs: 60_000 },
  { endMs: 1_800_000, sampleEveryMs: 150_000 },
  { endMs: Number.POSITIVE_INFINITY, sampleEveryMs: 600_000 },
];
const STEP = 0.04;
/** Margin of the p90 before anything was learnt: a model always knows too little. */
const FIRST_LOG90 = 0.15;
const MAX_LOG_SCALE = Math.log(20);

/**
 * Online quantile tracking (the idea of adaptive conformal inference, Gibbs and Candès 2021): each time a wait turns out
 * longer than its forecast quantile q the factor grows by STEP·q, each time shorter it shrinks by STEP·(1-q). It comes
 * to rest where the share of waits within the forecast is q, whatever the forecast leaves out (later arrivals, cancels,
 * bad estimates). Jobs of one batch all err the same way, so only a few forecasts of each depth are followed up, apart
 * in time; learning from every job would make the factors swing with each batch.
 */
export class ForecastCalibration {
  readonly #log50 = DEPTHS.map(() => 0);
  readonly #log90 = DEPTHS.map(() => FIRST_LOG90);
  readonly #sampledAtMs = DEPTHS.map(() => Number.NEGATIVE_INFINITY);

  /** The depth a forecast falls in. */
  depthOf(p50Ms: number): number {
    return DEPTHS.findIndex(({ endMs }) => p50Ms < endMs || endMs === Number.POSITIVE_INFINITY);
  }

  /** The depths of which a forecast made now should be followed up; calling it counts as having taken one. */
  takeDue(depths: ReadonlySet<number>, nowMs: number): number[] {
    const due = [...depths].filter(
      (depth) => nowMs - (this.#sampledAtMs[depth] ?? 0) >= (DEPTHS[depth]?.sampleEveryMs ?? 0),
    );
    for (const depth of due) this.#sampledAtMs[depth] = nowMs;
    return due;
  }

  apply(p50Ms: number, p90Ms: number): { etaP50Ms: number; etaP90Ms: number } {
    const depth = this.depthOf(p50Ms);
    const etaP50Ms = p50Ms * Math.exp(this.#log50[depth] ?? 0);
    return { etaP50Ms, etaP90Ms: Math.max(etaP50Ms, p90Ms * Math.exp(this.#log90[depth] ?? 0)) };
  }

  /** Tells what became of an uncorrected forecast. */
  observe({ depth, p50Ms, p90Ms }: { depth: number; p50Ms: number; p90Ms: number }, actualMs: number): void {
    nudge(this.#log50, depth, { forecastMs: p50Ms, quantile: 0.5, actualMs });
    nudge(this.#log90, depth, { forecastMs: p90Ms, quantile: 0.9, actualMs });
  }
}

function nudge(
  logs: number[],
  depth: number,
  { forecastMs, quantile, actualMs }: { forecastMs: number; quantile: number; actualMs: number },
): void {
  const log = logs[depth] ?? 0;
  const isLonger = actualMs > forecastMs * Math.exp(log);
  const next = log + STEP * (isLonger ? quantile : quantile - 1);
  logs[depth] = Math.min(MAX_LOG_SCALE, Math.max(-MAX_LOG_SCALE, next));
}
