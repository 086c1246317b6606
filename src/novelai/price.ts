// What a request costs in Anlas on an account: NovelAI's own formulas (contract section 7).
import { findModel } from './models.ts';
import type { ModelInfo } from './models.ts';

/** What of an account decides the price. */
export interface PayingAccount {
  /** 0 Paper, 1 Tablet, 2 Scroll, 3 Opus. */
  tier: number;
  /** `active` of `/user/subscription`; an expired Opus pays like everybody else. */
  isActive: boolean;
  /** `usage.isNegative`: V5 then costs Anlas even on Opus. */
  isAllowanceExhausted: boolean;
}

/**
 * An image generation as far as its price goes. A number that the request did not say, or said unreadably, is undefined (or
 * not a sane number); the price then assumes the dearest sensible one, see `priceOf`.
 */
export interface BillableGeneration {
  kind: 'generate';
  model: string;
  widthPx: number | undefined;
  heightPx: number | undefined;
  steps: number | undefined;
  /** Images in one request (`n_samples`); left out means 1. */
  samples: number | undefined;
  isSmea: boolean;
  isSmeaDyn: boolean;
  hasImage: boolean;
  hasMask: boolean;
  /** Scales the price of img2img; left out means 1, the dearest. */
  strength: number | undefined;
  /** Scales the price of inpainting; left out means 1 (contract 7.1). */
  inpaintStrength: number | undefined;
  vibes: number;
  /** Vibes that are raw images and must be encoded first, 2 Anlas each. */
  unencodedVibes: number;
  characterReferences: number;
  /** `parameters.upscale`: the result is enlarged too; what that costs is not on record, so an upscale is added. */
  isUpscaled?: boolean;
}

export interface BillableAugmentation {
  kind: 'augment';
  /** `req_type` (contract 3.5). */
  tool: string;
  widthPx: number | undefined;
  heightPx: number | undefined;
}

export interface BillableUpscale {
  kind: 'upscale';
  /** Of the image that goes in. */
  widthPx: number | undefined;
  heightPx: number | undefined;
}

/** Everything that can cost Anlas, or is known not to. */
export type Billable =
  | BillableGeneration
  | BillableAugmentation
  | BillableUpscale
  | { kind: 'encode-vibe' }
  | { kind: 'nothing' }
  | { kind: 'unknown'; why: string };

export interface Price {
  /** Whole Anlas. With a refusal: what it would have cost. */
  costAnlas: number;
  /** Certainly takes no Anlas from this account. */
  isFree: boolean;
  /** Free because V5's allowance pays for it (contract 3.9). */
  drainsAllowance: boolean;
  /** Set when NovelAI does not do this at any price: one sentence for the client. */
  refusal?: string;
  /** How the price came about, for logs and the dry run. */
  reason: string;
}

/** An account that gets nothing free. */
export const ACCOUNT_WITHOUT_FREE: Readonly<PayingAccount> = Object.freeze({
  tier: 0,
  isActive: false,
  isAllowanceExhausted: true,
});

/** The largest area the free sample covers, 1024x1024. */
export const FREE_AREA_PX = 1_048_576;
/** The most steps the free sample covers. */
export const FREE_STEPS = 28;
/** The largest area NovelAI generates or upscales, e.g. 2048x1536 (contract 4.5). */
export const LARGEST_AREA_PX = 3_145_728;
/** The dearest sample the client sends; above it the client's code is -3 (contract 7.1). */
export const DEAREST_SAMPLE_ANLAS = 140;

const OPUS_TIER = 3;
/** A usual size with the largest area. */
const LARGEST_SIZE_PX = [2048, 1536] as const;
const MOST_STEPS = 50;
/** Keeps sums in whole numbers: far beyond what NovelAI takes, so that it only makes an absurd request absurdly dear. */
const MOST_OF_ANYTHING = 1e6;
const MOST_STRENGTH = 100;
const ANLAS_PER_PX = 2951823174884865e-21;
const ANLAS_PER_PX_STEP = 5.753298233447344e-7;
const V5_FACTOR = 1.5;
const ENCODE_VIBE_ANLAS = 2;
const VIBES_INCLUDED = 4;
const EXTRA_VIBE_ANLAS = 2;
const CHARACTER_REFERENCE_ANLAS = 5;
const BACKGROUND_REMOVAL_TOOL = 'bg-removal';
/** Director tools, all priced alike but bg-removal (contract 3.5, 7.2). */
const KNOWN_TOOLS: ReadonlySet<string> = new Set([
  'lineart',
  'sketch',
  'declutter',
  'declutter-keep-bubbles',
  'colorize',
  'emotion',
]);
/** Upscale prices by the area that goes in (contract 7.2, new table; no Opus discount). */
const UPSCALE_STEPS: readonly (readonly [largestAreaPx: number, costAnlas: number])[] = [
  [1_048_576, 1],
  [1_747_627, 2],
  [2_446_678, 3],
  [LARGEST_AREA_PX, 4],
];

/**
 * Gives the price of `billable` on `account`. Never throws.
 *
 * What is not known is priced as the dearest sensible thing and never as free: an unknown model has V5's factor, a missing or
 * absurd size is the largest area (3,145,728 px), missing steps are 50, an absurd number of samples is the most that the area
 * allows, an unknown Director tool costs what bg-removal does, and what cannot be read at all costs one dearest sample (140).
 * Such an assumption is capped at 140 a sample instead of refused, since it may be wrong. Missing samples are 1 and a missing
 * strength is 1, because there NovelAI's default is sure or the dearest.
 *
 * Character references keep the free sample and add 5 each a sample: the server's ledger against the web client's formula
 * (contract 7.1, DISAGREE). Legacy models are priced by the V3 formula with V5's factor, which their own formula never reaches.
 */
export function priceOf(billable: Billable, account: PayingAccount): Price {
  if (billable.kind === 'generate') return priceGeneration(billable, account);
  if (billable.kind === 'augment') return priceAugmentation(billable, account);
  if (billable.kind === 'upscale') return priceUpscale(billable);
  if (billable.kind === 'encode-vibe') return paid(ENCODE_VIBE_ANLAS, 'encoding a vibe costs 2');
  if (billable.kind === 'nothing') return free('costs no Anlas on any account');
  return paid(DEAREST_SAMPLE_ANLAS, `assumed the dearest: ${billable.why}`);
}

/** Gives the most that `billable` can cost on any account: without free sample and allowance. For reservations. */
export function dearestPrice(billable: Billable): Price {
  return priceOf(billable, ACCOUNT_WITHOUT_FREE);
}

/** Gives the most samples the web client allows for an area (contract 4.5, newest). */
export function maxSamples(areaPx: number): number {
  if (areaPx <= 360_448) return 8;
  return areaPx <= 409_600 ? 6 : 4;
}

/**
 * Gives the size the web client resizes an image to before a Director tool gets it: up to about 1,048,576 px if it is at most
 * 832x1216, down to 3,143,728 px if it is larger (contract 3.5, 7.2). Sides are cut to whole pixels.
 */
export function augmentSize(widthPx: number, heightPx: number): { widthPx: number; heightPx: number } {
  const areaPx = widthPx * heightPx;
  const targetPx = areaPx <= AUGMENT_GROW_UP_TO_PX ? FREE_AREA_PX : AUGMENT_LARGEST_PX;
  if (areaPx > AUGMENT_GROW_UP_TO_PX && areaPx <= AUGMENT_LARGEST_PX) return { widthPx, heightPx };
  const scale = Math.sqrt(targetPx / areaPx);
  return { widthPx: Math.floor(widthPx * scale), heightPx: Math.floor(heightPx * scale) };
}

const AUGMENT_GROW_UP_TO_PX = 832 * 1216;
const AUGMENT_LARGEST_PX = LARGEST_AREA_PX - 2000;

function priceGeneration(job: BillableGeneration, account: PayingAccount): Price {
  const model = findModel(job.model);
  const assumed: string[] = model === undefined ? ['the model'] : [];
  const areaPx = areaOrLargest(job, assumed);
  const steps = numberOr(job.steps, MOST_STEPS, 'the steps', assumed);
  const samples = samplesOrMost(job.samples, areaPx, assumed);
  const perSample = Math.max(Math.ceil(sampleBase(job, model, areaPx, steps) * strengthFactor(job)), 2);
  const isRefused = perSample > DEAREST_SAMPLE_ANLAS && assumed.length === 0;
  const sampleAnlas = isRefused ? perSample : Math.min(perSample, DEAREST_SAMPLE_ANLAS);

  const isAllowanceEmpty = model?.features.usesAllowance === true && account.isAllowanceExhausted;
  const isSmall = areaPx <= FREE_AREA_PX && steps <= FREE_STEPS && assumed.length === 0;
  const hasFreeSample = isSmall && isActiveOpus(account) && !isAllowanceEmpty;
  const baseAnlas = sampleAnlas * (samples - (hasFreeSample ? 1 : 0));
  const extraAnlas = extrasOf(job, areaPx, samples);
  const costAnlas = baseAnlas + extraAnlas;
  return {
    costAnlas,
    isFree: costAnlas === 0,
    drainsAllowance: hasFreeSample && model?.features.usesAllowance === true,
    ...(isRefused ? { refusal: sampleRefusal(perSample) } : {}),
    reason: generationReason({ sampleAnlas, samples, hasFreeSample, extraAnlas, assumed }),
  };
}

/** The price of one sample before strength. The ceiling comes before the SMEA and V5 factors (contract 7.1). */
function sampleBase(job: BillableGeneration, model: ModelInfo | undefined, areaPx: number, steps: number): number {
  const base = Math.ceil(ANLAS_PER_PX * areaPx + ANLAS_PER_PX_STEP * areaPx * steps);
  const canSmea = model === undefined || model.features.hasSmea;
  const smeaFactor = canSmea && job.isSmea ? (job.isSmeaDyn ? 1.4 : 1.2) : 1;
  const isDear = model === undefined || model.generation === 'v5' || model.generation === 'legacy';
  return base * smeaFactor * (isDear ? V5_FACTOR : 1);
}

function strengthFactor(job: BillableGeneration): number {
  const strength = job.hasMask ? job.inpaintStrength : job.hasImage ? job.strength : 1;
  return strength !== undefined && Number.isFinite(strength) ? Math.min(Math.max(strength, 0), MOST_STRENGTH) : 1;
}

function extrasOf(job: BillableGeneration, areaPx: number, samples: number): number {
  const isVibeSurcharged = !job.hasMask && job.characterReferences === 0;
  const surplusVibes = isVibeSurcharged ? Math.max(0, job.vibes - VIBES_INCLUDED) : 0;
  return (
    ENCODE_VIBE_ANLAS * job.unencodedVibes +
    EXTRA_VIBE_ANLAS * surplusVibes +
    CHARACTER_REFERENCE_ANLAS * job.characterReferences * samples +
    (job.isUpscaled === true ? upscaleAnlas(areaPx) * samples : 0)
  );
}

function priceAugmentation(job: BillableAugmentation, account: PayingAccount): Price {
  const isSized = isPositive(job.widthPx) && isPositive(job.heightPx);
  const size = isSized ? augmentSize(job.widthPx ?? 0, job.heightPx ?? 0) : augmentSize(...LARGEST_SIZE_PX);
  const areaPx = size.widthPx * size.heightPx;
  const base = Math.max(Math.ceil(ANLAS_PER_PX * areaPx + ANLAS_PER_PX_STEP * areaPx * FREE_STEPS), 2);
  const sized = `${size.widthPx}x${size.heightPx}${isSized ? '' : ' (assumed)'}`;
  if (!KNOWN_TOOLS.has(job.tool)) {
    const why = job.tool === BACKGROUND_REMOVAL_TOOL ? 'bg-removal is never free' : 'assumed as dear as bg-removal';
    return paid(base * 3 + 5, `3 x ${base} + 5 at ${sized}; ${why}`);
  }
  const isFree = isSized && areaPx <= FREE_AREA_PX && isActiveOpus(account);
  return isFree ? free(`free on Opus at ${sized}`) : paid(base, `${base} at ${sized}`);
}

function priceUpscale(job: BillableUpscale): Price {
  const assumed: string[] = [];
  const areaPx = areaOrLargest(job, assumed);
  const costAnlas = upscaleAnlas(areaPx);
  if (areaPx > LARGEST_AREA_PX) {
    const refusal = `The image is too large to upscale: at most ${LARGEST_AREA_PX} pixels, got ${areaPx}.`;
    return { ...paid(costAnlas, 'too large'), refusal };
  }
  return paid(costAnlas, assumed.length === 0 ? `${costAnlas} for ${areaPx} px` : 'assumed the largest image');
}

function upscaleAnlas(areaPx: number): number {
  return (UPSCALE_STEPS.find(([largestAreaPx]) => areaPx <= largestAreaPx) ?? [0, 4])[1];
}

function isActiveOpus(account: PayingAccount): boolean {
  return account.isActive && account.tier >= OPUS_TIER;
}

function isPositive(value: number | undefined): value is number {
  return value !== undefined && Number.isFinite(value) && value > 0;
}

function numberOr(value: number | undefined, fallback: number, what: string, assumed: string[]): number {
  if (isPositive(value)) return Math.min(value, MOST_OF_ANYTHING);
  assumed.push(what);
  return fallback;
}

function areaOrLargest(job: { widthPx: number | undefined; heightPx: number | undefined }, assumed: string[]): number {
  if (isPositive(job.widthPx) && isPositive(job.heightPx)) {
    return Math.min(job.widthPx, MOST_OF_ANYTHING) * Math.min(job.heightPx, MOST_OF_ANYTHING);
  }
  assumed.push('the size');
  return LARGEST_AREA_PX;
}

function samplesOrMost(samples: number | undefined, areaPx: number, assumed: string[]): number {
  if (samples === undefined) return 1;
  if (Number.isSafeInteger(samples) && samples > 0) return Math.min(samples, MOST_OF_ANYTHING);
  assumed.push('the number of samples');
  return maxSamples(areaPx);
}

function paid(costAnlas: number, reason: string): Price {
  return { costAnlas, isFree: false, drainsAllowance: false, reason };
}

function free(reason: string): Price {
  return { costAnlas: 0, isFree: true, drainsAllowance: false, reason };
}

function sampleRefusal(perSampleAnlas: number): string {
  return `NovelAI does not generate a sample dearer than ${DEAREST_SAMPLE_ANLAS} Anlas, and this one would cost ${perSampleAnlas}.`;
}

function generationReason(parts: {
  sampleAnlas: number;
  samples: number;
  hasFreeSample: boolean;
  extraAnlas: number;
  assumed: readonly string[];
}): string {
  const { sampleAnlas, samples, hasFreeSample, extraAnlas, assumed } = parts;
  const base = hasFreeSample
    ? `${sampleAnlas} x ${samples - 1}, one sample free on Opus`
    : `${sampleAnlas} x ${samples}`;
  const extras = extraAnlas === 0 ? '' : `, + ${extraAnlas} for references`;
  return assumed.length === 0 ? base + extras : `${base}${extras}; assumed the dearest for ${assumed.join(', ')}`;
}
