// Reads a generate-image request and refuses what NovelAI refuses (contract 4 and 5).
import { hash } from 'node:crypto';
import { NOVELAI_MESSAGES } from '../../src/novelai/error-form.ts';
import { imageFormat } from '../../src/novelai/image-size.ts';
import { findModel } from '../../src/novelai/models.ts';
import type { ModelInfo } from '../../src/novelai/models.ts';
import type { BillableGeneration } from '../../src/novelai/price.ts';
import type { Exchange } from '../exchange.ts';
import { hashOf } from '../hashing.ts';
import { ImageFields } from './image-fields.ts';
import { Refusal } from '../refusal.ts';
import { isMembers, numberOf, readBody, textOf } from '../request-body.ts';
import type { Members, RequestBody } from '../request-body.ts';
import type { World } from '../world.ts';

export interface ImageRequest {
  readonly model: ModelInfo;
  readonly action: string;
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly widthPx: number;
  readonly heightPx: number;
  readonly steps: number;
  readonly samples: number;
  /** Of sample 0; sample i has seed + i. */
  readonly seed: number;
  readonly strength: number;
  /** It starts from a picture: `img2img` with one. */
  readonly hasImage: boolean;
  /** It paints over part of one: `infill`. */
  readonly hasMask: boolean;
  /** Encoded vibes, or for V3 pictures, as the metadata repeats them. */
  readonly vibes: readonly Buffer[];
  readonly format: 'png' | 'webp';
  readonly stream: string | undefined;
  readonly parameters: Members;
  readonly billable: BillableGeneration;
  /** A hash of everything that makes a sample's picture what it is. */
  identityOf(sample: number): string;
}

const DEFAULT_WIDTH_PX = 832;
const DEFAULT_HEIGHT_PX = 1216;
const DEFAULT_STEPS = 28;
const DEFAULT_STRENGTH = 0.7;
const LARGEST_AREA_PX = 3_145_728;
const MOST_STEPS = 50;
const MOST_SAMPLES = 8;
const SIDE_STEP_PX = 64;
/** From this area on, V3's automatic SMEA switches itself on (contract 4.4). */
const AUTO_SMEA_AREA_PX = 2_166_785;
const LARGEST_SEED = 4_294_967_295;
/** What Go's zip writer leaves behind an error: the end record of an empty archive. */
const EMPTY_ZIP = Buffer.concat([Buffer.from('PK\u0005\u0006'), Buffer.alloc(18)]);
/** The inner service that V5 fails to find; only the end of the sentence is on record. */
const REFERENCE_HOST = 'director-encoder';

/** Gives the request. Throws Refusal: 400 for what is invalid, 500 for what the server trips over. */
export async function readImageRequest(exchange: Exchange, world: World): Promise<ImageRequest> {
  const body = await readBody(exchange);
  const model = requireModel(body.json);
  const parameters = body.json['parameters'];
  if (!isMembers(parameters)) throw new Refusal(400, 'Validation error: parameters is required');
  const action = textOf(body.json, 'action') ?? 'generate';
  refuseUnsupported(model, action, parameters);

  const fields = new ImageFields(exchange.account, body.parts);
  const image = fields.single(parameters, 'image');
  const mask = fields.single(parameters, 'mask');
  const references = [
    ...[fields.single(parameters, 'reference_image')].filter((picture) => picture !== undefined),
    ...fields.list(parameters, 'reference_image_multiple'),
  ];
  const characterReferences = fields.list(parameters, 'director_reference_images');
  fields.requireKnownKeys();
  if (references.length > 0 && model.features.vibe === 'error') throw internalError();
  if (characterReferences.length > 0 && model.generation === 'v5') {
    throw new Refusal(400, NOVELAI_MESSAGES.noSuchReferenceHost(REFERENCE_HOST));
  }
  return assemble({ body, model, parameters, action, image, mask, references, characterReferences }, world);
}

/** Gives the model of a request's `model` member. Throws Refusal 400 when the server does not accept it. */
export function requireModel(json: Members): ModelInfo {
  const id = textOf(json, 'model') ?? '';
  const model = findModel(id);
  if (!model?.isAccepted) throw new Refusal(400, NOVELAI_MESSAGES.modelDoesNotExist(id));
  return model;
}

/** The 500 that a request brings upon itself (contract 5). */
export function internalError(): Refusal {
  return new Refusal(500, NOVELAI_MESSAGES.internalServerError);
}

function refuseUnsupported(model: ModelInfo, action: string, parameters: Members): void {
  if (action === 'infill' && model.id === 'nai-diffusion-5-curated') {
    throw new Refusal(400, NOVELAI_MESSAGES.actionNotSupported(model.id, action), { trailing: EMPTY_ZIP });
  }
  if (!['generate', 'img2img', 'infill'].includes(action)) {
    throw new Refusal(400, NOVELAI_MESSAGES.actionNotSupported(model.id, action));
  }
  const hasPrompts = isMembers(parameters['v4_prompt']) && isMembers(parameters['v4_negative_prompt']);
  if (model.features.needsV4Prompt && !hasPrompts) throw internalError();
}

interface Ingredients {
  readonly body: RequestBody;
  readonly model: ModelInfo;
  readonly parameters: Members;
  readonly action: string;
  readonly image: Buffer | undefined;
  readonly mask: Buffer | undefined;
  readonly references: readonly Buffer[];
  readonly characterReferences: readonly Buffer[];
}

function assemble(ingredients: Ingredients, world: World): ImageRequest {
  const { model, parameters, action, image, references } = ingredients;
  const input = textOf(ingredients.body.json, 'input') ?? '';
  const size = readSize(parameters);
  const strength = numberOf(parameters, 'strength') ?? DEFAULT_STRENGTH;
  const seed = numberOf(parameters, 'seed') ?? world.random.below(LARGEST_SEED);
  const prompt = captionOf(parameters['v4_prompt']) ?? input;
  const negativePrompt = captionOf(parameters['v4_negative_prompt']) ?? textOf(parameters, 'negative_prompt') ?? '';
  const format = textOf(parameters, 'image_format') === 'webp' ? 'webp' : 'png';
  const identities = new Map<number, string>();
  // Only when somebody asks: hashing megabytes for a canned answer would be most of the work.
  let makeUp: string | undefined;
  return {
    model,
    action,
    prompt,
    negativePrompt,
    ...size,
    seed,
    strength,
    hasImage: action === 'img2img' && image !== undefined,
    hasMask: action === 'infill',
    vibes: references,
    format,
    stream: textOf(parameters, 'stream'),
    parameters,
    billable: billableOf(ingredients, size),
    identityOf(sample) {
      makeUp ??= makeUpOf(ingredients, input);
      const known = identities.get(sample) ?? hash('sha256', `${seed + sample} ${makeUp}`);
      identities.set(sample, known);
      return known;
    },
  };
}

/** Gives, as one text, everything but seed and sample that a picture depends on. */
function makeUpOf(
  { model, action, parameters, image, mask, references, characterReferences }: Ingredients,
  input: string,
): string {
  const pictures = [image, mask, ...references, ...characterReferences].map((bytes) => bytes && hashOf(bytes));
  const { stream: _stream, seed: _seed, n_samples: _samples, ...rest } = withoutPictures(parameters);
  return JSON.stringify([model.id, action, input, rest, pictures]);
}

function readSize(parameters: Members): Pick<ImageRequest, 'widthPx' | 'heightPx' | 'steps' | 'samples'> {
  const widthPx = numberOf(parameters, 'width') ?? DEFAULT_WIDTH_PX;
  const heightPx = numberOf(parameters, 'height') ?? DEFAULT_HEIGHT_PX;
  const steps = numberOf(parameters, 'steps') ?? DEFAULT_STEPS;
  const samples = numberOf(parameters, 'n_samples') ?? 1;
  // Whether the server itself enforces these is not on record (contract 10, item 4); the web client keeps to them.
  if (!isSide(widthPx) || !isSide(heightPx)) {
    throw new Refusal(400, `Validation error: width and height must be positive multiples of ${SIDE_STEP_PX}`);
  }
  if (widthPx * heightPx > LARGEST_AREA_PX) throw new Refusal(400, 'Validation error: image resolution too high');
  if (!(steps >= 1 && steps <= MOST_STEPS)) {
    throw new Refusal(400, `Validation error: steps must be between 1 and ${MOST_STEPS}`);
  }
  if (!Number.isInteger(samples) || samples < 1 || samples > MOST_SAMPLES) {
    throw new Refusal(400, `Validation error: n_samples must be between 1 and ${MOST_SAMPLES}`);
  }
  return { widthPx, heightPx, steps, samples };
}

function isSide(sidePx: number): boolean {
  return sidePx > 0 && sidePx % SIDE_STEP_PX === 0;
}

function billableOf(
  { model, parameters, action, image, references, characterReferences }: Ingredients,
  size: Pick<ImageRequest, 'widthPx' | 'heightPx' | 'steps' | 'samples'>,
): BillableGeneration {
  const isAutoSmea = parameters['autoSmea'] === true && size.widthPx * size.heightPx >= AUTO_SMEA_AREA_PX;
  // Where vibes must be encoded, a plain picture among them is encoded on the way, at the price of encode-vibe.
  const rawVibes = model.features.vibe === 'raw' ? [] : references.filter((vibe) => imageFormat(vibe) !== undefined);
  return {
    kind: 'generate',
    model: model.id,
    ...size,
    isSmea: parameters['sm'] === true || isAutoSmea,
    isSmeaDyn: parameters['sm_dyn'] === true,
    hasImage: action === 'img2img' && image !== undefined,
    hasMask: action === 'infill',
    strength: numberOf(parameters, 'strength'),
    inpaintStrength: numberOf(parameters, 'inpaintImg2ImgStrength'),
    vibes: references.length,
    unencodedVibes: rawVibes.length,
    characterReferences: characterReferences.length,
    isUpscaled: isMembers(parameters['upscale']),
  };
}

function captionOf(condition: unknown): string | undefined {
  if (!isMembers(condition) || !isMembers(condition['caption'])) return undefined;
  return textOf(condition['caption'], 'base_caption');
}

/** Long base64 has no place in an identity: the pictures' hashes are in it already. */
function withoutPictures(parameters: Members): Record<string, unknown> {
  const rest: Record<string, unknown> = { ...parameters };
  for (const field of ['image', 'mask', 'reference_image', 'reference_image_multiple', 'director_reference_images']) {
    delete rest[field];
    delete rest[`${field}_cached`];
    delete rest[`${field}_cache_secret_key`];
  }
  return rest;
}
