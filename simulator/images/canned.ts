// One ready answer of an exact size, for measurements: a true picture in a true ZIP, with padding nobody looks at.
import { addPngTexts, encodePng, pngChunk } from '../../src/novelai/png.ts';
import { writeStreamedZip } from '../../src/novelai/zip.ts';
import { SeededRandom } from '../random.ts';

/** A private, ancillary chunk: every PNG reader skips it. */
const PADDING_CHUNK = 'siMu';
const AFTER_HEADER = 33;
const SIZE_PX = 8;

/** A picture and the ZIP it comes in. */
export interface CannedAnswer {
  readonly png: Buffer;
  readonly zip: Buffer;
}

/** Gives an answer whose ZIP has exactly `sizeBytes` (512 at least), stored in deflate's own way so that it cannot shrink. */
export async function makeCannedAnswer(sizeBytes: number): Promise<CannedAnswer> {
  const picture = await encodePng({
    widthPx: SIZE_PX,
    heightPx: SIZE_PX,
    rgba: new Uint8Array(SIZE_PX * SIZE_PX * 4).fill(255),
  });
  const titled = addPngTexts(picture, [['Software', 'NovelAI']]);
  let paddingBytes = sizeBytes;
  for (;;) {
    const png = pad(titled, Math.max(0, paddingBytes));
    const zip = Buffer.concat(await writeStreamedZip([{ name: 'image_0.png', bytes: png }], 0));
    const surplus = zip.length - sizeBytes;
    if (surplus === 0 || (surplus > 0 && paddingBytes <= 0)) return { png, zip };
    paddingBytes -= surplus;
  }
}

function pad(png: Buffer, bytes: number): Buffer {
  const padding = pngChunk(PADDING_CHUNK, new SeededRandom(bytes).fill(Buffer.alloc(bytes)));
  return Buffer.concat([png.subarray(0, AFTER_HEADER), padding, png.subarray(AFTER_HEADER)]);
}
