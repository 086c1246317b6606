// Reads out of a request body what price, policy, scheduler and log need; the body itself goes to NovelAI unchanged.
import { readBodyMembers } from './body-members.ts';
import type { BodyMembers, Picture } from './body-members.ts';
import type { EndpointId } from './endpoints.ts';
import { findModel } from './models.ts';
import type { Billable, BillableGeneration } from './price.ts';

/** What is known of a request. Numbers that the body did not say, or not clearly, are undefined. */
export interface RequestFacts {
  model?: string | undefined;
  /** `generate`, `img2img` or `infill`. */
  action?: string | undefined;
  /** Director tool (`req_type`). */
  tool?: string | undefined;
  /** Of the picture asked for; with Director tools and upscale, of the one sent. */
  widthPx?: number | undefined;
  heightPx?: number | undefined;
  steps?: number | undefined;
  samples?: number | undefined;
  /** Any size: NovelAI takes seeds beyond 32 bits. */
  seed?: number | undefined;
  /** The form of stream asked for with `parameters.stream` (contract 3.2). */
  stream?: 'msgpack' | 'sse' | undefined;
  imageFormat?: 'png' | 'webp' | undefined;
  /** Most tokens of text to make. */
  tokens?: number | undefined;
  /** The names of the members given: what tells apart requests that are alike in all else. */
  outline?: string | undefined;
  billable: Billable;
}

const NOTHING: RequestFacts = { billable: { kind: 'nothing' } };
/** Members on which the price hangs and which are no plain number or flag. */
const PRICE_LISTS = [
  'reference_image_multiple',
  'reference_image_multiple_cached',
  'reference_image',
  'director_reference_images',
  'director_reference_images_cached',
] as const;
/** From this area on, V3's automatic SMEA switches itself on (contract 4.4). */
const AUTO_SMEA_AREA_PX = 2_166_785;

/**
 * Reads the body of a request to `endpointId`. `contentType` is the header as sent. Endpoints without a meaningful body give
 * empty facts, whatever is in it. Throws RequestBodyError (its message suits a NovelAI-form 400) for a body that is not JSON
 * or a proper form, and for members of a wrong type on which the price hangs.
 *
 * Members given twice: Go, in which NovelAI is written, takes the last of two numbers, merges two objects, and takes `Width`
 * for `width`. Rather than copy that, what is given twice counts as not said, and is priced as the dearest (see `priceOf`).
 * Unknown members are ignored and seeds of any size accepted, as NovelAI does (contract 4.1, 4.5).
 */
export function readRequestBody(endpointId: EndpointId, contentType: string | undefined, body: Buffer): RequestFacts {
  const read = READERS[endpointId];
  if (read === undefined) return NOTHING;
  const members = readBodyMembers(contentType, body);
  const facts = read(members);
  return { ...facts, outline: `${members.outline};${facts.outline ?? ''}` };
}

const READERS: Readonly<Partial<Record<EndpointId, (body: BodyMembers) => RequestFacts>>> = {
  'generate-image': readGeneration,
  'generate-image-stream': readGeneration,
  'augment-image': readAugmentation,
  'encode-vibe': readVibe,
  upscale: readUpscale,
  'annotate-image': readAnnotation,
  'text-generate': readText,
  'text-generate-stream': readText,
  'text-completions': readText,
  'text-chat-completions': readText,
  'text-token-count': readText,
};

function readGeneration(body: BodyMembers): RequestFacts {
  const model = body.string('model');
  const action = body.string('action');
  const parameters = body.object('parameters');
  if (parameters === undefined) {
    return { model, action, billable: unknown('"parameters" is missing') };
  }
  const generation = readBillable(model ?? '', action, parameters);
  const ambiguous = body.firstAmbiguous(['parameters']) ?? parameters.firstAmbiguous(PRICE_LISTS);
  return {
    model,
    action,
    outline: parameters.outline,
    widthPx: sane(generation.widthPx),
    heightPx: sane(generation.heightPx),
    steps: sane(generation.steps),
    samples: sane(generation.samples),
    seed: sane(lenient(() => parameters.number('seed'))),
    stream: oneOf(
      ['msgpack', 'sse'],
      lenient(() => parameters.string('stream')),
    ),
    imageFormat: oneOf(
      ['png', 'webp'],
      lenient(() => parameters.string('image_format')),
    ),
    billable: ambiguous === undefined ? generation : unknown(`"${ambiguous}" is given more than once`),
  };
}

function readBillable(model: string, action: string | undefined, parameters: BodyMembers): BillableGeneration {
  const widthPx = parameters.number('width');
  const heightPx = parameters.number('height');
  // The strength only counts for the actions that use it: with "generate" NovelAI need not look at the image at all.
  const hasMask = action === 'infill';
  const isPictured = parameters.picture('image') !== undefined || parameters.has('image_cache_secret_key');
  parameters.picture('mask');
  const vibes = readVibes(model, parameters);
  const isLargeV3 = (widthPx ?? 0) * (heightPx ?? 0) >= AUTO_SMEA_AREA_PX;
  return {
    kind: 'generate',
    model,
    widthPx,
    heightPx,
    steps: parameters.number('steps'),
    samples: parameters.number('n_samples'),
    isSmea: parameters.isTrue('sm') || (parameters.isTrue('autoSmea') && isLargeV3),
    isSmeaDyn: parameters.isTrue('sm_dyn'),
    hasImage: action === 'img2img' && isPictured,
    hasMask,
    strength: parameters.number('strength'),
    inpaintStrength: hasMask ? readInpaintStrength(parameters) : undefined,
    vibes: vibes.length,
    unencodedVibes: vibes.filter((vibe) => vibe === 'unencoded').length,
    characterReferences: countPictures(parameters, 'director_reference_images', 'director_reference_images_cached'),
    isUpscaled: parameters.has('upscale'),
  };
}

/** The web client sends the same strength in two places; where they differ, the dearer one. */
function readInpaintStrength(parameters: BodyMembers): number | undefined {
  const own = parameters.number('inpaintImg2ImgStrength');
  if (parameters.isAmbiguous('img2img')) return undefined;
  const nested = parameters.object('img2img')?.number('strength');
  return own === undefined || nested === undefined ? own : Math.max(own, nested);
}

/** Where models take encoded vibes, a raw picture among them must be encoded first, which costs (contract 7.1). */
function readVibes(model: string, parameters: BodyMembers): ('ready' | 'unencoded')[] {
  const needsEncoding = findModel(model)?.features.vibe !== 'raw';
  const single = parameters.picture('reference_image');
  const pictures = [
    ...(single === undefined ? [] : [single]),
    ...parameters.pictures('reference_image_multiple'),
    ...parameters.pictures('reference_image_multiple_cached'),
  ];
  return pictures.map((picture) => (needsEncoding && picture?.isImage() === true ? 'unencoded' : 'ready'));
}

function countPictures(parameters: BodyMembers, ...names: readonly string[]): number {
  return names.reduce((count, name) => count + parameters.pictures(name).length, 0);
}

function readAugmentation(body: BodyMembers): RequestFacts {
  const tool = body.string('req_type');
  const size = largerSize(body, body.picture('image'));
  return { tool, ...factSize(size), billable: { kind: 'augment', tool: tool ?? '', ...size } };
}

function readUpscale(body: BodyMembers): RequestFacts {
  const size = largerSize(body, body.picture('image'));
  return { model: body.string('model'), ...factSize(size), billable: { kind: 'upscale', ...size } };
}

function readVibe(body: BodyMembers): RequestFacts {
  body.picture('image');
  body.picture('mask');
  return { model: body.string('model'), billable: { kind: 'encode-vibe' } };
}

function readAnnotation(body: BodyMembers): RequestFacts {
  return { model: body.string('model'), billable: unknown('what annotate-image costs is not on record') };
}

/** Text costs no Anlas (contract 7.2), so nothing in its body needs to be refused here. */
function readText(body: BodyMembers): RequestFacts {
  const tokens = lenient(() => body.number('max_tokens') ?? body.object('parameters')?.number('max_length'));
  return { model: lenient(() => body.string('model')), tokens: sane(tokens), billable: { kind: 'nothing' } };
}

interface Size {
  widthPx: number | undefined;
  heightPx: number | undefined;
}

/** The size said and the size of the picture sent: the larger, since it is not known by which one NovelAI charges. */
function largerSize(body: BodyMembers, picture: Picture | undefined): Size {
  if (body.firstAmbiguous(['image', 'width', 'height']) !== undefined)
    return { widthPx: undefined, heightPx: undefined };
  const said = { widthPx: body.number('width'), heightPx: body.number('height') };
  const sent = picture?.size();
  if (sent === undefined) return said;
  const isSaidLarger = (said.widthPx ?? 0) * (said.heightPx ?? 0) > sent.widthPx * sent.heightPx;
  return isSaidLarger ? said : { widthPx: sent.widthPx, heightPx: sent.heightPx };
}

function factSize({ widthPx, heightPx }: Size): Size {
  return { widthPx: sane(widthPx), heightPx: sane(heightPx) };
}

/** Drops what is no finite number, so that logs and estimates never see one. */
function sane(value: number | undefined): number | undefined {
  return value !== undefined && Number.isFinite(value) ? value : undefined;
}

function oneOf<const T extends string>(allowed: readonly T[], value: string | undefined): T | undefined {
  return allowed.find((candidate) => candidate === value);
}

/** For what no price hangs on: NovelAI judges it. */
function lenient<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function unknown(why: string): Billable {
  return { kind: 'unknown', why };
}
