// What a picture says about itself: NovelAI's PNG text chunks (contract 9.2).
import { createHash } from 'node:crypto';
import type { ModelGeneration } from '../../src/novelai/models.ts';
import type { PngText } from '../../src/novelai/png.ts';
import type { ImageRequest } from './image-request.ts';

/** V4's is made up; the others were captured. */
const SOURCES: Record<ModelGeneration, string> = {
  legacy: 'Stable Diffusion 81274D13',
  v3: 'Stable Diffusion XL 7BCCAA2C',
  v4: 'NovelAI Diffusion V4 37442FCA',
  'v4.5': 'NovelAI Diffusion V4.5 4BDE2A90',
  v5: 'NovelAI Diffusion V5 657484A5',
};

/** Gives the text chunks of a generated picture. The same request and seed give the same, even its time of making. */
export function generatedTexts(request: ImageRequest, seed: number, identity: string): PngText[] {
  return [
    ['Title', 'AI generated image'],
    ['Description', request.prompt],
    ['Software', 'NovelAI'],
    ['Source', SOURCES[request.model.generation]],
    ['Generation_time', String(2 + Number.parseInt(identity.slice(8, 16), 16) / 2 ** 32)],
    ['Comment', JSON.stringify(commentOf(request, seed, identity))],
  ];
}

/** Gives the text chunks of a Director tool's picture. */
export function augmentedTexts(tool: string, seconds: number): PngText[] {
  return [
    ['Title', 'AI augmented image'],
    ['Software', 'NovelAI'],
    ['Generation time', `${seconds.toFixed(4)}s`],
    ['Comment', JSON.stringify({ req_type: tool })],
  ];
}

function commentOf(request: ImageRequest, seed: number, identity: string): Record<string, unknown> {
  const { parameters, model } = request;
  const given = (name: string, otherwise: unknown) => parameters[name] ?? otherwise;
  return {
    prompt: request.prompt,
    steps: request.steps,
    height: request.heightPx,
    width: request.widthPx,
    scale: given('scale', model.features.defaultScale),
    // 1 is what clients send for "as usual", and comes back as 0 (contract 4.3).
    uncond_scale: parameters['uncond_scale'] === 1 ? 0 : given('uncond_scale', 0),
    cfg_rescale: given('cfg_rescale', 0),
    seed,
    n_samples: request.samples,
    noise_schedule: given('noise_schedule', 'karras'),
    legacy_v3_extend: given('legacy_v3_extend', false),
    ...(request.hasImage ? { strength: request.strength, noise: given('noise', 0), extra_noise_seed: seed } : {}),
    reference_information_extracted_multiple: given('reference_information_extracted_multiple', []),
    reference_strength_multiple: given('reference_strength_multiple', []),
    ...(request.vibes.length > 0
      ? { reference_image_multiple: request.vibes.map((vibe) => vibe.toString('base64')) }
      : {}),
    extra_passthrough_testing: PASSTHROUGH,
    ...(model.features.needsV4Prompt ? { v4_prompt: parameters['v4_prompt'] } : {}),
    ...(model.features.needsV4Prompt ? { v4_negative_prompt: parameters['v4_negative_prompt'] } : {}),
    director_reference_strengths: null,
    director_reference_descriptions: given('director_reference_descriptions', null),
    director_reference_information_extracted: null,
    director_reference_secondary_strengths: null,
    sampler: given('sampler', 'k_euler_ancestral'),
    controlnet_strength: 1,
    controlnet_model: null,
    dynamic_thresholding: given('dynamic_thresholding', false),
    dynamic_thresholding_percentile: 0.999,
    dynamic_thresholding_mimic_scale: 10,
    sm: given('sm', false),
    sm_dyn: given('sm_dyn', false),
    skip_cfg_above_sigma: given('skip_cfg_above_sigma', null),
    skip_cfg_below_sigma: 0,
    lora_unet_weights: null,
    lora_clip_weights: null,
    deliberate_euler_ancestral_bug: given('deliberate_euler_ancestral_bug', false),
    prefer_brownian: given('prefer_brownian', true),
    cfg_sched_eligibility: 'enable_for_post_summer_samplers',
    explike_fine_detail: false,
    minimize_sigma_inf: false,
    uncond_per_vibe: true,
    wonky_vibe_correlation: true,
    ...(model.generation === 'v5' ? v5Members(request) : {}),
    stream: request.stream ?? 'none',
    version: 1,
    uc: request.negativePrompt,
    request_type: requestType(request),
    signed_hash: signatureLookalike(identity),
  };
}

const PASSTHROUGH = {
  prompt: null,
  uc: null,
  hide_debug_overlay: false,
  r: 0,
  eta: 1,
  negative_momentum: 0,
  director_reference_images: null,
  director_reference_descriptions: null,
  director_reference_information_extracted: null,
  director_reference_strengths: null,
  director_reference_secondary_strengths: null,
  crash_hydra: false,
};

function v5Members({ model, parameters }: ImageRequest): Record<string, unknown> {
  return {
    model_name: model.id,
    model_hash: '657484A5',
    quality_boost: false,
    straight_alpha: parameters['straight_alpha'] ?? false,
    tag_hint_qt: parameters['tag_hint_qt'] ?? 0,
    tag_hint_uc_preset: parameters['tag_hint_uc_preset'] ?? 0,
    upscale: parameters['upscale'] ?? null,
  };
}

function requestType(request: ImageRequest): string {
  if (request.hasMask) return 'NativeInfillingRequest';
  return request.hasImage ? 'Img2ImgRequest' : 'PromptGenerateRequest';
}

/** 64 bytes in base64, as long as NovelAI's signature and, of course, not one: only NovelAI can sign. */
function signatureLookalike(identity: string): string {
  return createHash('sha512').update(`signature ${identity}`).digest('base64');
}
