// Decodes a picture a client gave back, every pixel of it, whoever the client is and whatever it says.
import { readFileSync } from 'node:fs';
import sharp from 'sharp';

/** A picture file and the size that was asked for; null where any size will do. */
export interface ExpectedPicture {
  readonly file: string;
  readonly width: number | null;
  readonly height: number | null;
}

/**
 * Decodes the file and compares it with what was asked for.
 * @returns What it is, as in `png 512x768`.
 * @throws When it is no PNG, WebP or JPEG, does not decode, has another size, or has one colour only.
 */
export async function checkPicture({ file, width, height }: ExpectedPicture): Promise<string> {
  const bytes = readFileSync(file);
  if (bytes.length === 0) throw new Error('an empty picture');
  // sharp's default forgives truncated data by filling it with grey, which is just what must not be forgiven here.
  const image = sharp(bytes, { failOn: 'truncated' });
  const { format } = await image.metadata();
  if (format !== 'png' && format !== 'webp' && format !== 'jpeg') throw new Error(`a picture in the form ${format}`);
  const { data, info } = await image.raw().toBuffer({ resolveWithObject: true });
  const size = `${info.width}x${info.height}`;
  if (width !== null && height !== null && size !== `${width}x${height}`) {
    throw new Error(`a picture of ${size}, where ${width}x${height} was asked for`);
  }
  const first = data.subarray(0, info.channels);
  const isPlain = data.equals(Buffer.alloc(data.length, first));
  if (isPlain) throw new Error(`a picture of one colour, ${size}`);
  return `${format} ${size}`;
}
