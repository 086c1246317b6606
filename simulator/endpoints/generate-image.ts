// POST /ai/generate-image: a streamed ZIP of pictures, or JSON with base64 for those who ask for it (contract 3.1).
import { promisify } from 'node:util';
import { brotliCompress, constants } from 'node:zlib';
import type { Exchange, HeaderList } from '../exchange.ts';
import { generate } from '../generation.ts';
import type { TimedWork } from '../latency.ts';
import { readImageRequest } from '../images/image-request.ts';
import type { ImageRequest } from '../images/image-request.ts';
import type { World } from '../world.ts';

/** The headers of every ZIP of pictures; never `application/zip` (contract 8, "must keep exact"). */
export const ZIP_HEADERS: HeaderList = [
  ['content-type', 'binary/octet-stream'],
  ['content-disposition', 'attachment; filename=images.zip'],
];

const compress = promisify(brotliCompress);
const BROTLI = { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } };

export async function generateImage(exchange: Exchange, world: World): Promise<void> {
  const request = await readImageRequest(exchange, world);
  const isJson = wantsJson(exchange);
  const job = { slot: 'image' as const, work: workOf(request), billable: request.billable };
  if (!isJson) {
    const zip = await generate(exchange, world, { ...job, produce: () => world.artist.zipOf(request) });
    return exchange.answer({ status: 200, headers: ZIP_HEADERS, pieces: [zip], framing: 'chunked' });
  }
  const pictures = await generate(exchange, world, { ...job, produce: () => allPictures(request, world) });
  return answerImagesAsJson(exchange, pictures, request.seed);
}

/** Whether the client asked for JSON rather than a ZIP. */
export function wantsJson(exchange: Exchange): boolean {
  return /\bapplication\/json\b/i.test(exchange.request.headers.accept ?? '');
}

/** Answers with pictures in base64; in Brotli where the client takes that, as was captured (contract 3.1, c09). */
export async function answerImagesAsJson(exchange: Exchange, pictures: readonly Buffer[], seed: number): Promise<void> {
  const images = pictures.map((picture, index) => ({ image: picture.toString('base64'), index, seed: seed + index }));
  const json = Buffer.from(`${JSON.stringify({ images })}\n`);
  const isPacked = /\bbr\b/.test(exchange.request.headers['accept-encoding']?.toString() ?? '');
  return exchange.answer({
    status: 200,
    headers: [['content-type', 'application/json'], ...(isPacked ? [['content-encoding', 'br'] as const] : [])],
    pieces: [isPacked ? await compress(json, BROTLI) : json],
    framing: 'chunked',
  });
}

/** How much work a request is, for the latency model. */
export function workOf({
  model,
  widthPx,
  heightPx,
  steps,
  samples,
  hasImage,
  hasMask,
  strength,
}: ImageRequest): TimedWork {
  const isShortened = hasImage && !hasMask;
  return {
    kind: 'generate',
    generation: model.generation,
    widthPx,
    heightPx,
    steps: isShortened ? Math.floor(steps * strength) : steps,
    samples,
  };
}

/** Gives every sample's picture, in order. */
export async function allPictures(request: ImageRequest, world: World): Promise<Buffer[]> {
  const pictures: Buffer[] = [];
  for (let sample = 0; sample < request.samples; sample++) pictures.push(await world.artist.pictureOf(request, sample));
  return pictures;
}
