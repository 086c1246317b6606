// How long NovelAI takes: a model of its durations, scaled by one factor (contract 3.1, 3.2, 3.5).
import type { ModelGeneration } from '../src/novelai/models.ts';
import type { SeededRandom } from './random.ts';

/** Before the first step: queue, prompt, first frame of a stream after about 0.56 s. */
const SET_UP_MS = 500;
/** Fitted to 3.2-3.7 s for 832x1216 at 23 steps. */
const MS_PER_MEGAPIXEL_STEP = 125;
const GENERATION_FACTOR: Record<ModelGeneration, number> = { legacy: 0.7, v3: 0.9, v4: 1, 'v4.5': 1, v5: 1.3 };
const AUGMENT_MS = 5000;
/** Measured once: 14.6 s. */
const BACKGROUND_REMOVAL_MS = 14_600;
const UPSCALE_MS_PER_MEGAPIXEL = 4000;
const FIXED_MS = { 'encode-vibe': 1200, annotate: 2000, voice: 1500 } as const;
const TEXT_SET_UP_MS = 400;
const MS_PER_TEXT_TOKEN = 20;
const SMALL_CALL_MS = 60;
const JITTER = 0.07;

/** Something that takes time. */
export type TimedWork =
  | { kind: 'generate'; generation: ModelGeneration; widthPx: number; heightPx: number; steps: number; samples: number }
  | { kind: 'augment'; tool: string }
  | { kind: 'upscale'; widthPx: number; heightPx: number }
  | { kind: 'text'; tokens: number }
  | { kind: 'encode-vibe' | 'annotate' | 'voice' };

export class LatencyModel {
  factor: number;
  fixedMs: number | undefined;
  readonly #random: SeededRandom;

  constructor(options: { factor: number; fixedMs: number | undefined }, random: SeededRandom) {
    this.factor = options.factor;
    this.fixedMs = options.fixedMs;
    this.#random = random;
  }

  /** Gives how long a generation takes, in milliseconds, with a jitter of 7 %. */
  generationMs(work: TimedWork): number {
    if (this.fixedMs !== undefined) return this.fixedMs;
    const jitter = 1 + JITTER * (2 * this.#random.next() - 1);
    return nominalMs(work) * jitter * this.factor;
  }

  /** Gives how long a small call takes: an account read, tags. */
  smallCallMs(): number {
    return SMALL_CALL_MS * this.factor;
  }
}

/** Gives the duration at factor 1, without jitter. */
export function nominalMs(work: TimedWork): number {
  if (work.kind === 'generate') {
    const megapixelSteps = ((work.widthPx * work.heightPx) / 1e6) * work.steps * work.samples;
    return SET_UP_MS + MS_PER_MEGAPIXEL_STEP * megapixelSteps * GENERATION_FACTOR[work.generation];
  }
  if (work.kind === 'augment') return work.tool === 'bg-removal' ? BACKGROUND_REMOVAL_MS : AUGMENT_MS;
  if (work.kind === 'upscale') return SET_UP_MS + (UPSCALE_MS_PER_MEGAPIXEL * work.widthPx * work.heightPx) / 1e6;
  if (work.kind === 'text') return TEXT_SET_UP_MS + MS_PER_TEXT_TOKEN * work.tokens;
  return FIXED_MS[work.kind];
}
