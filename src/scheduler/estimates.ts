// How long a generation will hold its account: quantiles learnt for each kind of work, and a formula until enough was seen.

import { quantileOf } from './quantile.ts';

/** What is known of a piece of work before it runs. */
export interface Workload {
  /** What is asked for: `generate`, `upscale`, `bg-removal`, `encode-vibe`, `text` … */
  kind: string;
  model: string;
  /** Width times height of one image; 0 for text. */
  pixels: number;
  /** Sampling steps; for text the most tokens asked for. */
  steps: number;
  /** Images (or completions) in one request. */
  samples: number;
}

export interface DurationEstimate {
  p50Ms: number;
  p90Ms: number;
  /** How many real durations of this very kind of work stand behind it; 0 = formula alone. */
  seen: number;
}

export interface HoldingTimeEstimatesOptions {
  /** Most kinds of work remembered; the one not used for longest is forgotten first. */
  maxBuckets?: number;
  /** Most durations kept for each. */
  samplesPerBucket?: number;
}

interface Bucket {
  readonly durationsMs: Float64Array;
  seen: number;
}

/** Durations of this many jobs weigh as much as the formula. */
const PRIOR_WEIGHT = 3;
/** The formula's p90, until there is experience. */
const PRIOR_P90_RATIO = 1.4;
const MAX_RATIO_KINDS = 64;
const RATIO_STEP = 0.1;
const FASTEST_MS = 50;

/**
 * Formula by kind: a fixed part and a part per megapixel and step (per token for text). Sources: 832x1216 at 23 steps took
 * 3.2-3.7 s (contract 3.1), background removal 14.6 s (contract 3.5); the rest is set to be in the right order of magnitude.
 */
const PRIORS_MS = new Map<string, { fixedMs: number; perMegapixelStepMs: number; perStepMs: number }>([
  ['generate', { fixedMs: 900, perMegapixelStepMs: 110, perStepMs: 0 }],
  ['augment', { fixedMs: 2_000, perMegapixelStepMs: 110, perStepMs: 0 }],
  ['bg-removal', { fixedMs: 5_000, perMegapixelStepMs: 340, perStepMs: 0 }],
  ['upscale', { fixedMs: 5_000, perMegapixelStepMs: 0, perStepMs: 0 }],
  ['encode-vibe', { fixedMs: 2_000, perMegapixelStepMs: 0, perStepMs: 0 }],
  ['text', { fixedMs: 1_000, perMegapixelStepMs: 0, perStepMs: 30 }],
]);
const UNKNOWN_PRIOR_MS = { fixedMs: 2_000, perMegapixelStepMs: 110, perStepMs: 0 };
/** V5 is priced at 1.5 times the others (contract 7.1) and taken to be slower in the same measure. */
const V5_FACTOR = 1.5;

/** Bounded memory, no clock: give it work before it runs and the real duration afterwards. */
export class HoldingTimeEstimates {
  readonly #maxBuckets: number;
  readonly #samplesPerBucket: number;
  readonly #buckets = new Map<string, Bucket>();
  /** Real duration over formula, by kind and model: corrects the formula for work not seen in this size yet. */
  readonly #logRatios = new Map<string, number>();

  constructor({ maxBuckets = 512, samplesPerBucket = 64 }: HoldingTimeEstimatesOptions = {}) {
    this.#maxBuckets = maxBuckets;
    this.#samplesPerBucket = samplesPerBucket;
  }

  /** Kinds of work remembered now. */
  get size(): number {
    return this.#buckets.size;
  }

  /** How long this work will hold its slot, half of the time and nine times in ten. */
  estimate(work: Workload): DurationEstimate {
    const expectedMs = priorMs(work) * Math.exp(this.#logRatios.get(familyOf(work)) ?? 0);
    const bucket = this.#buckets.get(bucketOf(work));
    if (bucket === undefined) return { p50Ms: expectedMs, p90Ms: expectedMs * PRIOR_P90_RATIO, seen: 0 };
    const sorted = bucket.durationsMs.subarray(0, Math.min(bucket.seen, this.#samplesPerBucket)).toSorted();
    const trust = sorted.length / (sorted.length + PRIOR_WEIGHT);
    const p50Ms = mix(quantileOf(sorted, 0.5), expectedMs, trust);
    const p90Ms = mix(quantileOf(sorted, 0.9), expectedMs * PRIOR_P90_RATIO, trust);
    return { p50Ms, p90Ms: Math.max(p50Ms, p90Ms), seen: bucket.seen };
  }

  /** Learns a real duration. Only of completed work: what failed at once says nothing. Throws RangeError when it is not above 0. */
  record(work: Workload, heldMs: number): void {
    if (!(heldMs > 0 && heldMs < Number.POSITIVE_INFINITY)) {
      throw new RangeError(`A holding time must be above 0 ms, got ${heldMs}.`);
    }
    const key = bucketOf(work);
    const bucket = this.#buckets.get(key) ?? { durationsMs: new Float64Array(this.#samplesPerBucket), seen: 0 };
    bucket.durationsMs[bucket.seen % this.#samplesPerBucket] = heldMs;
    bucket.seen += 1;
    touch(this.#buckets, key, { value: bucket, maxSize: this.#maxBuckets });
    const family = familyOf(work);
    const known = this.#logRatios.get(family);
    const logRatio = Math.log(heldMs / priorMs(work));
    const learnt = known === undefined ? logRatio : known + RATIO_STEP * (logRatio - known);
    touch(this.#logRatios, family, { value: learnt, maxSize: MAX_RATIO_KINDS });
  }
}

function priorMs({ kind, model, pixels, steps, samples }: Workload): number {
  const prior = PRIORS_MS.get(kind) ?? UNKNOWN_PRIOR_MS;
  const factor = model.startsWith('nai-diffusion-5') ? V5_FACTOR : 1;
  const perSampleMs = (pixels / 1e6) * steps * prior.perMegapixelStepMs * factor + steps * prior.perStepMs;
  return Math.max(FASTEST_MS, prior.fixedMs + perSampleMs * Math.max(1, samples));
}

/** Sizes within about a fifth of each other share a bucket, steps within four. */
function bucketOf({ kind, model, pixels, steps, samples }: Workload): string {
  const pixelBucket = pixels > 0 ? Math.round(Math.log2(pixels) * 4) : 0;
  const stepBucket = kind === 'text' ? Math.round(Math.log2(Math.max(1, steps)) * 2) : Math.ceil(steps / 4);
  return `${familyOf({ kind, model })}|${pixelBucket}|${stepBucket}|${samples}`;
}

function familyOf({ kind, model }: Pick<Workload, 'kind' | 'model'>): string {
  return `${kind}|${model}`;
}

function mix(learntMs: number, expectedMs: number, trust: number): number {
  return learntMs * trust + expectedMs * (1 - trust);
}

/** Sets a key as the newest and drops the oldest past the limit: a Map keeps the order of insertion. */
function touch<Value>(
  map: Map<string, Value>,
  key: string,
  { value, maxSize }: { value: Value; maxSize: number },
): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= maxSize) return;
  const oldest = map.keys().next();
  if (!oldest.done) map.delete(oldest.value);
}
