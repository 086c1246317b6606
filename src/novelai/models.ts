// Every image model NovelAI is known to have, and what each can do (contract 4.2 and 4.4).

export type ModelGeneration = 'legacy' | 'v3' | 'v4' | 'v4.5' | 'v5';

/** What a generation of models takes and offers (contract 4.4, "Per-model differences"). */
export interface ModelFeatures {
  /** Vibe transfer takes raw images, the output of encode-vibe, or answers 500. */
  vibe: 'raw' | 'encoded' | 'error';
  /** Takes `director_reference_*`, at 5 Anlas a reference. */
  hasCharacterReference: boolean;
  /** `v4_prompt` and `v4_negative_prompt` are mandatory: without them the answer is 500 (contract 4.3). */
  needsV4Prompt: boolean;
  /** `sm` and `sm_dyn` have an effect, also on the price. */
  hasSmea: boolean;
  /** Generations on Opus drain `usage` of `/user/subscription` (contract 3.9). */
  usesAllowance: boolean;
  /** Answers with RGBA images and takes `straight_alpha`. */
  hasTransparency: boolean;
  /** The web client streams this generation; V3 it does not (contract 3.2). */
  isStreamedByWebClient: boolean;
  /** `scale` the web client starts with. */
  defaultScale: number;
  /** `skip_cfg_above_sigma` of variety boost at 832x1216, where the model knows it. */
  varietyBoostSigma?: number;
  samplers: readonly string[];
  noiseSchedules: readonly string[];
  /** Characters with a position of their own that the web client allows. */
  maxCharacters: number;
}

export interface ModelInfo {
  id: string;
  /** The name NovelAI's site shows. */
  label: string;
  generation: ModelGeneration;
  isInpainting: boolean;
  /** False only for ids a live probe was refused with; the legacy ids are unproven and count as accepted. */
  isAccepted: boolean;
  /** The id to send with `action: "infill"`; undefined where none is known. */
  inpaintingId?: string;
  features: Readonly<ModelFeatures>;
}

const SAMPLERS = [
  'k_euler_ancestral',
  'k_euler',
  'k_dpmpp_2s_ancestral',
  'k_dpmpp_2m_sde',
  'k_dpmpp_2m',
  'k_dpmpp_sde',
] as const;
const SCHEDULES = ['karras', 'exponential', 'polyexponential'] as const;

const V3: ModelFeatures = {
  vibe: 'raw',
  hasCharacterReference: false,
  needsV4Prompt: false,
  hasSmea: true,
  usesAllowance: false,
  hasTransparency: false,
  isStreamedByWebClient: false,
  defaultScale: 5,
  varietyBoostSigma: 19,
  samplers: [...SAMPLERS, 'ddim_v3'],
  noiseSchedules: ['native', ...SCHEDULES],
  maxCharacters: 0,
};
const FURRY_V3: ModelFeatures = { ...V3, defaultScale: 6.2 };
const V4: ModelFeatures = {
  ...V3,
  vibe: 'encoded',
  needsV4Prompt: true,
  hasSmea: false,
  isStreamedByWebClient: true,
  defaultScale: 5.5,
  samplers: SAMPLERS,
  noiseSchedules: SCHEDULES,
  maxCharacters: 6,
};
const V45: ModelFeatures = { ...V4, hasCharacterReference: true, defaultScale: 5, varietyBoostSigma: 58 };
const { varietyBoostSigma: _none, ...V45_WITHOUT_BOOST } = V45;
const V5: ModelFeatures = {
  ...V45_WITHOUT_BOOST,
  vibe: 'error',
  hasCharacterReference: false,
  usesAllowance: true,
  hasTransparency: true,
  defaultScale: 7,
  noiseSchedules: ['karras'],
  maxCharacters: 32,
};
const LEGACY: ModelFeatures = {
  ...V3,
  defaultScale: 11,
  samplers: ['k_euler_ancestral', 'k_euler', 'k_lms', 'ddim', 'plms'],
};

type Row = readonly [
  id: string,
  label: string,
  generation: ModelGeneration,
  features: ModelFeatures,
  inpaintingId?: string,
];

const BASE_MODELS: readonly Row[] = [
  ['nai-diffusion-5-full', 'NAI Diffusion V5 Full', 'v5', V5, 'nai-diffusion-5-full-inpainting'],
  // V5 Curated has no inpainting model of its own at the server; the web client sends V4.5's (contract 4.2).
  ['nai-diffusion-5-curated', 'NAI Diffusion V5 Curated', 'v5', V5, 'nai-diffusion-4-5-curated-inpainting'],
  ['nai-diffusion-4-5-full', 'NAI Diffusion V4.5 Full', 'v4.5', V45, 'nai-diffusion-4-5-full-inpainting'],
  ['nai-diffusion-4-5-curated', 'NAI Diffusion V4.5 Curated', 'v4.5', V45, 'nai-diffusion-4-5-curated-inpainting'],
  ['nai-diffusion-4-full', 'NAI Diffusion V4 Full', 'v4', V4, 'nai-diffusion-4-full-inpainting'],
  ['nai-diffusion-4-curated-preview', 'NAI Diffusion V4 Curated', 'v4', V4, 'nai-diffusion-4-curated-inpainting'],
  ['nai-diffusion-3', 'NAI Diffusion Anime V3', 'v3', V3, 'nai-diffusion-3-inpainting'],
  ['nai-diffusion-furry-3', 'NAI Diffusion Furry V3', 'v3', FURRY_V3, 'nai-diffusion-furry-3-inpainting'],
  ['nai-diffusion-2', 'NAI Diffusion Anime V2', 'legacy', LEGACY],
  ['nai-diffusion', 'NAI Diffusion Anime V1', 'legacy', LEGACY],
  ['safe-diffusion', 'NAI Diffusion Anime V1 Curated', 'legacy', LEGACY],
  ['nai-diffusion-furry', 'NAI Diffusion Furry V1', 'legacy', LEGACY, 'furry-diffusion-inpainting'],
  ['custom', 'Custom', 'legacy', LEGACY],
];

const INPAINTING_MODELS: readonly Row[] = [
  ['nai-diffusion-5-full-inpainting', 'NAI Diffusion V5 Full Inpainting', 'v5', V5],
  ['nai-diffusion-5-curated-inpainting', 'NAI Diffusion V5 Curated Inpainting', 'v5', V5],
  ['nai-diffusion-4-5-full-inpainting', 'NAI Diffusion V4.5 Full Inpainting', 'v4.5', V45],
  ['nai-diffusion-4-5-curated-inpainting', 'NAI Diffusion V4.5 Curated Inpainting', 'v4.5', V45],
  ['nai-diffusion-4-full-inpainting', 'NAI Diffusion V4 Full Inpainting', 'v4', V4],
  ['nai-diffusion-4-curated-inpainting', 'NAI Diffusion V4 Curated Inpainting', 'v4', V4],
  ['nai-diffusion-3-inpainting', 'NAI Diffusion Anime V3 Inpainting', 'v3', V3],
  ['nai-diffusion-furry-3-inpainting', 'NAI Diffusion Furry V3 Inpainting', 'v3', FURRY_V3],
  ['furry-diffusion-inpainting', 'NAI Diffusion Furry V1 Inpainting', 'legacy', LEGACY],
];

/** Refused by the server in a live probe: "model ... doesn't exist" (contract 4.2). */
const REFUSED_IDS: ReadonlySet<string> = new Set(['nai-diffusion-5-curated-inpainting']);

function toModel([id, label, generation, features, inpaintingId]: Row, isInpainting: boolean): ModelInfo {
  const ownInpaintingId = isInpainting && !REFUSED_IDS.has(id) ? id : inpaintingId;
  return Object.freeze({
    id,
    label,
    generation,
    isInpainting,
    isAccepted: !REFUSED_IDS.has(id),
    ...(ownInpaintingId === undefined ? {} : { inpaintingId: ownInpaintingId }),
    features: Object.freeze(features),
  });
}

/** Every known image model, newest first, the inpainting ones last. */
export const MODELS: readonly ModelInfo[] = Object.freeze([
  ...BASE_MODELS.map((row) => toModel(row, false)),
  ...INPAINTING_MODELS.map((row) => toModel(row, true)),
]);

const MODEL_BY_ID: ReadonlyMap<string, ModelInfo> = new Map(MODELS.map((model) => [model.id, model]));

/** Gives the model with exactly this id, or undefined: ids are not trimmed or lower-cased, as NovelAI does not either. */
export function findModel(id: string): ModelInfo | undefined {
  return MODEL_BY_ID.get(id);
}
