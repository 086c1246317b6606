// POST /ai/augment-image and the old /ai/annotate-image: tools that make pictures out of a picture (contract 3.5, 3.8).
import { readImageSize } from '../../src/novelai/image-size.ts';
import type { ImageSize } from '../../src/novelai/image-size.ts';
import { writeStoredZip, writeStreamedZip } from '../../src/novelai/zip.ts';
import type { Exchange } from '../exchange.ts';
import { generate } from '../generation.ts';
import { hashOf } from '../hashing.ts';
import { ImageFields } from '../images/image-fields.ts';
import { internalError } from '../images/image-request.ts';
import { augmentedTexts } from '../images/metadata.ts';
import { Refusal } from '../refusal.ts';
import { isMembers, numberOf, readBody, textOf } from '../request-body.ts';
import type { World } from '../world.ts';
import { ZIP_HEADERS } from './generate-image.ts';

const TOOLS: ReadonlySet<string> = new Set([
  'lineart',
  'sketch',
  'declutter',
  'declutter-keep-bubbles',
  'colorize',
  'emotion',
  'bg-removal',
]);
const ANNOTATORS: ReadonlySet<string> = new Set(['hed', 'midas', 'fake_scribble', 'mlsd', 'uniformer']);
/** bg-removal gives the mask, the new picture and the blend of both. */
const BACKGROUND_REMOVAL_PICTURES = ['masked', 'generated', 'blend'];
/** Smaller pictures make the server trip ("1x1-type inputs", contract 3.5); where exactly is not on record. */
const SMALLEST_SIDE_PX = 8;

export async function augmentImage(exchange: Exchange, world: World): Promise<void> {
  const { json, parts } = await readBody(exchange);
  const tool = textOf(json, 'req_type') ?? '';
  if (!TOOLS.has(tool)) throw new Refusal(400, `Validation error: unknown req_type ${tool}`);
  const fields = new ImageFields(exchange.account, parts);
  const image = fields.single(json, 'image');
  fields.requireKnownKeys();
  const sent = requirePicture(image);
  const widthPx = numberOf(json, 'width') ?? sent.widthPx;
  const heightPx = numberOf(json, 'height') ?? sent.heightPx;

  const source = [hashOf(image as Buffer), tool, textOf(json, 'prompt') ?? '', numberOf(json, 'defry') ?? 0].join(' ');
  const kinds = tool === 'bg-removal' ? BACKGROUND_REMOVAL_PICTURES : [tool];
  const zip = await generate(exchange, world, {
    slot: 'image',
    work: { kind: 'augment', tool },
    billable: { kind: 'augment', tool, widthPx, heightPx },
    async produce(pace) {
      const texts = augmentedTexts(tool, pace.durationMs / 1000);
      const entries = [];
      for (const [index, kind] of kinds.entries()) {
        const drawing = { identity: hashOf(Buffer.from(`${source} ${kind}`)), widthPx, heightPx, caption: kind, texts };
        entries.push({ name: `image_${index}.png`, bytes: await world.artist.plainPicture(drawing) });
      }
      return writeStoredZip(entries);
    },
  });
  return exchange.answer({ status: 200, headers: ZIP_HEADERS, pieces: [zip], framing: 'chunked' });
}

export async function annotateImage(exchange: Exchange, world: World): Promise<void> {
  const { json, parts } = await readBody(exchange);
  const tool = textOf(json, 'model') ?? '';
  if (!ANNOTATORS.has(tool)) throw new Refusal(400, `Validation error: model ${tool} doesn't exist`);
  const parameters = json['parameters'];
  const image = isMembers(parameters)
    ? new ImageFields(exchange.account, parts).single(parameters, 'image')
    : undefined;
  const { widthPx, heightPx } = requirePicture(image);
  const zip = await generate(exchange, world, {
    slot: 'image',
    work: { kind: 'annotate' },
    billable: { kind: 'nothing' },
    async produce() {
      const identity = hashOf(Buffer.from(`${tool} ${hashOf(image as Buffer)}`));
      const bytes = await world.artist.plainPicture({ identity, widthPx, heightPx, caption: tool, texts: [] });
      return Buffer.concat(await writeStreamedZip([{ name: 'image_0.png', bytes }]));
    },
  });
  return exchange.answer({ status: 200, headers: ZIP_HEADERS, pieces: [zip], framing: 'chunked' });
}

/** Gives the size of a picture the server can work with. Throws Refusal 500 for any other, as the server does. */
export function requirePicture(image: Buffer | undefined): ImageSize {
  const size = image && readImageSize(image);
  if (!size || Math.min(size.widthPx, size.heightPx) < SMALLEST_SIDE_PX) throw internalError();
  return size;
}
