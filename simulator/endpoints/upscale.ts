// POST /ai/upscale: a picture at twice its size that keeps what it says about itself (contract 3.7, the new form).
import { encodePng, isPng, readPngTexts } from '../../src/novelai/png.ts';
import { writeStreamedZip } from '../../src/novelai/zip.ts';
import type { Exchange } from '../exchange.ts';
import { generate } from '../generation.ts';
import { ImageFields } from '../images/image-fields.ts';
import { internalError, requireModel } from '../images/image-request.ts';
import { doublePixels } from '../images/other-formats.ts';
import { readBody } from '../request-body.ts';
import type { World } from '../world.ts';
import { requirePicture } from './director-tools.ts';
import { answerImagesAsJson, wantsJson, ZIP_HEADERS } from './generate-image.ts';

export async function upscale(exchange: Exchange, world: World): Promise<void> {
  const { json, parts } = await readBody(exchange);
  // The old form names no model, and is refused for just that (contract 1, "/ai/upscale host").
  requireModel(json);
  const fields = new ImageFields(exchange.account, parts);
  const image = fields.single(json, 'image');
  fields.requireKnownKeys();
  const { widthPx, heightPx } = requirePicture(image);
  const doubled = await generate(exchange, world, {
    slot: 'image',
    work: { kind: 'upscale', widthPx, heightPx },
    billable: { kind: 'upscale', widthPx, heightPx },
    produce: () => doublePng(image as Buffer),
  });
  if (wantsJson(exchange)) return answerImagesAsJson(exchange, [doubled], 0);
  const pieces = await writeStreamedZip([{ name: 'image_0.png', bytes: doubled }]);
  return exchange.answer({ status: 200, headers: ZIP_HEADERS, pieces, framing: 'chunked' });
}

async function doublePng(image: Buffer): Promise<Buffer> {
  const pixels = await doublePixels(image);
  if (!pixels) throw internalError();
  return encodePng({ ...pixels, texts: isPng(image) ? readPngTexts(image) : [] });
}
