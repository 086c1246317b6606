// WebP and JPEG, by sharp; loaded only when a request wants them.
import type { Sharp } from 'sharp';
import type { PngText } from '../../src/novelai/png.ts';
import { BYTES_PER_PIXEL } from './picture.ts';

interface Pixels {
  readonly widthPx: number;
  readonly heightPx: number;
  readonly rgba: Uint8Array;
}

const JPEG_QUALITY = 80;
const MARKER_BYTES = 2;
/** The JFIF header segment that NovelAI's JPEGs begin with (`ffd8ffe0`, contract 3.2) and sharp's lack. */
const JFIF_SEGMENT = Buffer.from('ffe000104a46494600010100000100010000', 'hex');

/** Gives a lossless WebP with alpha and the texts in EXIF UserComment (contract 9.2). */
export async function encodeWebp(picture: Pixels & { texts: readonly PngText[] }): Promise<Buffer> {
  const image = await fromPixels(picture);
  const UserComment = JSON.stringify(Object.fromEntries(picture.texts));
  return image.webp({ lossless: true, effort: 0, exact: true }).withExif({ IFD2: { UserComment } }).toBuffer();
}

/** Gives a JPEG that begins as NovelAI's intermediates do. */
export async function encodeJpeg(picture: Pixels): Promise<Buffer> {
  const image = await fromPixels(picture);
  const jpeg = await image.removeAlpha().jpeg({ quality: JPEG_QUALITY }).toBuffer();
  return Buffer.concat([jpeg.subarray(0, MARKER_BYTES), JFIF_SEGMENT, jpeg.subarray(MARKER_BYTES)]);
}

/** Gives an image's pixels at twice its size, or undefined when it cannot be read. */
export async function doublePixels(image: Buffer): Promise<Pixels | undefined> {
  const { default: sharp } = await import('sharp');
  try {
    const { width, height } = await sharp(image).metadata();
    const { data, info } = await sharp(image)
      .ensureAlpha()
      .resize(width * 2, height * 2, { kernel: 'nearest' })
      .raw()
      .toBuffer({ resolveWithObject: true });
    return { widthPx: info.width, heightPx: info.height, rgba: data };
  } catch {
    return undefined;
  }
}

async function fromPixels({ widthPx, heightPx, rgba }: Pixels): Promise<Sharp> {
  const { default: sharp } = await import('sharp');
  return sharp(rgba, { raw: { width: widthPx, height: heightPx, channels: BYTES_PER_PIXEL } });
}
