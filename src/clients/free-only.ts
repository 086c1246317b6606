// The policy of clients that may not spend Anlas: what is free passes, and the rest is refused or made smaller until it is free.
import type { EndpointId } from '../novelai/endpoints.ts';
import { findModel } from '../novelai/models.ts';
import {
  augmentSize,
  FREE_AREA_PX,
  FREE_STEPS,
  priceOf,
  type Billable,
  type BillableAugmentation,
  type BillableGeneration,
  type PayingAccount,
} from '../novelai/price.ts';
import { readRequestBody, type RequestFacts } from '../novelai/request-body.ts';
import type { FreeOnlyMode } from './client.ts';
import { freeSize } from './free-size.ts';
import { replaceParameters } from './replace-parameters.ts';

export interface PolicyRequest {
  endpointId: EndpointId;
  /** The header as sent. */
  contentType: string | undefined;
  body: Buffer;
  facts: RequestFacts;
}

/** A number that was changed, for the client to be told. */
export interface Change {
  /** Name in `parameters`. */
  field: string;
  from: number;
  to: number;
}

export type PolicyRuling =
  | { kind: 'allow' }
  | {
      kind: 'reject';
      /** The member or path that stands in the way, such as `parameters.steps`. */
      field: string;
      /** One sentence for the client. */
      message: string;
    }
  | { kind: 'clamp'; body: Buffer; facts: RequestFacts; changes: readonly Change[] };

/** Why a request costs Anlas; `changes` make it free, where there are any that do. */
interface Obstacle {
  field: string;
  why: string;
  changes?: readonly Change[] | undefined;
}

/** The account that gets most for nothing. What is not free there is free nowhere. */
const OPUS: PayingAccount = { tier: 3, isActive: true, isAllowanceExhausted: false };

/** For messages. Asked for late: the first number written for people loads the tables of all languages (9 MB). */
function freeArea(): string {
  return FREE_AREA_PX.toLocaleString('en');
}

/**
 * Rules on a request that has been read (`facts` are of this very body). What passes costs nothing on an active Opus with some
 * V5 allowance left; that it runs on such an account is the dispatcher's business.
 *
 * `clamp` lowers steps to 28, the area to 1,048,576 px (same ratio, multiples of 64) and the images to one. Nothing else is
 * changed: what costs for another reason is refused, and so is making a picture smaller that the size must match.
 */
export function applyFreeOnly(mode: FreeOnlyMode, request: PolicyRequest): PolicyRuling {
  const { billable } = request.facts;
  if (mode === 'off' || priceOf(billable, OPUS).isFree) return { kind: 'allow' };
  const obstacles = obstaclesOf(request.endpointId, billable);
  const hard = obstacles.find(({ changes }) => changes === undefined);
  const first = hard ?? obstacles[0] ?? { field: 'body', why: 'this request costs Anlas' };
  if (mode === 'reject' || hard !== undefined || obstacles.length === 0) return reject(first);
  const changes = obstacles.flatMap((obstacle) => obstacle.changes ?? []);
  return clamp(request, changes) ?? reject(first);
}

/** Gives the value of the header that tells a client what was changed: `steps 50->28, n_samples 4->1`. */
export function describeChanges(changes: readonly Change[]): string {
  return changes.map(({ field, from, to }) => `${field} ${from}->${to}`).join(', ');
}

function clamp({ endpointId, contentType, body }: PolicyRequest, changes: readonly Change[]): PolicyRuling | undefined {
  const changed = replaceParameters(
    contentType,
    body,
    changes.map(({ field, to }) => ({ name: field, value: to })),
  );
  if (changed === undefined) return undefined;
  // Read again rather than believed: what goes to NovelAI is the body, not the intention.
  const facts = readRequestBody(endpointId, contentType, changed);
  return priceOf(facts.billable, OPUS).isFree ? { kind: 'clamp', body: changed, facts, changes } : undefined;
}

function reject({ field, why }: Obstacle): PolicyRuling {
  return { kind: 'reject', field, message: `This token may only make requests that cost no Anlas, and ${why}.` };
}

function obstaclesOf(endpointId: EndpointId, billable: Billable): Obstacle[] {
  switch (billable.kind) {
    case 'generate':
      return generationObstacles(billable);
    case 'augment':
      return [augmentationObstacle(billable)];
    case 'upscale':
    case 'encode-vibe':
      return [{ field: `/ai/${billable.kind}`, why: `${billable.kind} always costs some` }];
    case 'unknown': {
      const named = /"([^"]+)"/.exec(billable.why)?.[1];
      return [{ field: named ?? `/ai/${endpointId}`, why: `the price of this one is not certain: ${billable.why}` }];
    }
    case 'nothing':
      return [];
  }
}

function generationObstacles(job: BillableGeneration): Obstacle[] {
  return [
    modelObstacle(job),
    ...referenceObstacles(job),
    sizeObstacle(job),
    stepsObstacle(job),
    samplesObstacle(job),
  ].filter((obstacle) => obstacle !== undefined);
}

function modelObstacle({ model }: BillableGeneration): Obstacle | undefined {
  if (findModel(model) !== undefined) return undefined;
  const given = model === '' ? '"model" is missing' : '"model" is none whose price is known';
  return { field: 'model', why: given };
}

function* referenceObstacles(job: BillableGeneration): Generator<Obstacle> {
  if (job.characterReferences > 0)
    yield {
      field: 'parameters.director_reference_images',
      why: 'character references ("parameters.director_reference_images") cost 5 each',
    };
  if (job.unencodedVibes > 0)
    yield {
      field: 'parameters.reference_image_multiple',
      why: '"parameters.reference_image_multiple" holds a picture that is not encoded yet, which costs 2',
    };
  if (job.vibes > MOST_FREE_VIBES)
    yield {
      field: 'parameters.reference_image_multiple',
      why: `"parameters.reference_image_multiple" holds ${job.vibes} vibes, of which ${MOST_FREE_VIBES} are free`,
    };
  if (job.isUpscaled === true)
    yield { field: 'parameters.upscale', why: 'enlarging the result ("parameters.upscale") costs some' };
}

/** Contract 7.1: each further one costs 2. */
const MOST_FREE_VIBES = 4;

function sizeObstacle({ widthPx, heightPx, hasImage, hasMask }: BillableGeneration): Obstacle | undefined {
  for (const [name, sidePx] of [
    ['width', widthPx],
    ['height', heightPx],
  ] as const)
    if (!isPositive(sidePx)) return { field: `parameters.${name}`, why: uncertain(name, sidePx) };
  const [from, to] = [
    { width: widthPx ?? 0, height: heightPx ?? 0 },
    freeSize({ widthPx: widthPx ?? 0, heightPx: heightPx ?? 0 }),
  ];
  if (from.width * from.height <= FREE_AREA_PX) return undefined;
  const why = `"parameters.width" x "parameters.height" is ${from.width}x${from.height}, of which only ${freeArea()} pixels are free`;
  if (hasImage || hasMask)
    return { field: 'parameters.width', why: `${why} (it is not made smaller, since it must match the picture)` };
  const changes = [
    { field: 'width', from: from.width, to: to.widthPx },
    { field: 'height', from: from.height, to: to.heightPx },
  ];
  return { field: 'parameters.width', why, changes: changes.filter((change) => change.from !== change.to) };
}

function stepsObstacle({ steps }: BillableGeneration): Obstacle | undefined {
  const field = 'parameters.steps';
  if (!isPositive(steps)) return { field, why: uncertain('steps', steps) };
  if (steps <= FREE_STEPS) return undefined;
  return {
    field,
    why: `"${field}" is ${steps}, of which only ${FREE_STEPS} are free`,
    changes: [{ field: 'steps', from: steps, to: FREE_STEPS }],
  };
}

function samplesObstacle({ samples }: BillableGeneration): Obstacle | undefined {
  const field = 'parameters.n_samples';
  if (samples === undefined || samples === 1) return undefined;
  if (!isPositive(samples)) return { field, why: uncertain('n_samples', samples) };
  return {
    field,
    why: `"${field}" is ${samples}, of which only 1 is free`,
    changes: [{ field: 'n_samples', from: samples, to: 1 }],
  };
}

function augmentationObstacle({ tool, widthPx, heightPx }: BillableAugmentation): Obstacle {
  if (tool === 'bg-removal') return { field: 'req_type', why: '"req_type" bg-removal is never free' };
  if (!isPositive(widthPx) || !isPositive(heightPx))
    return { field: 'image', why: 'the size of "image" cannot be told, so its price is not certain' };
  const size = augmentSize(widthPx, heightPx);
  if (size.widthPx * size.heightPx > FREE_AREA_PX)
    return { field: 'image', why: `"image" is ${widthPx}x${heightPx}, of which only ${freeArea()} pixels are free` };
  return { field: 'req_type', why: '"req_type" is none that is known to be free' };
}

function uncertain(name: string, value: number | undefined): string {
  const given = value === undefined ? 'missing' : Number.isNaN(value) ? 'given more than once' : `${value}`;
  return `"parameters.${name}" is ${given}, so the price of this one is not certain`;
}

function isPositive(value: number | undefined): value is number {
  return value !== undefined && Number.isFinite(value) && value > 0;
}
