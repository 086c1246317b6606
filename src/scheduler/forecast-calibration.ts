// Learns how far forecasts are off and corrects the next ones, so that a p90 is met in 90 of 100 cases.

/** Upper ends of the depths (forecast wait) that are corrected apart: what is near errs otherwise than what is far. */
const DEPTH_ENDS_MS = [5_000, 20_000, 60_000, 300_000, 1_800_000];
const STEP = 0.04;
const MAX_LOG_SCALE = Math.log(20);

/**
 * Online quantile tracking (the idea of adaptive conformal inference, Gibbs and Candès 2021): each time a wait turns out
 * longer than its forecast quantile q the factor grows by STEP·q, each time shorter it shrinks by STEP·(1-q). It comes to rest where the
 * share of waits within the forecast is q, whatever the forecast leaves out (later arrivals, cancels, bad estimates).
 */
export class ForecastCalibration {
  readonly #log50 = DEPTH_ENDS_MS.concat(0).map(() => 0);
  readonly #log90 = DEPTH_ENDS_MS.concat(0).map(() => 0);

  /** The depth a forecast falls in. */
  depthOf(p50Ms: number): number {
    const depth = DEPTH_ENDS_MS.findIndex((endMs) => p50Ms < endMs);
    return depth === -1 ? DEPTH_ENDS_MS.length : depth;
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
