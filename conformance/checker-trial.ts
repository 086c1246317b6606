// Tries the picture check on bad pictures before any client is: a check that cannot fail would prove nothing.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { checkPicture } from './check-picture.ts';

/**
 * Lets the check judge one good picture and several spoilt ones.
 * @param inputFolder Holds a good `source.png`; the spoilt ones are written beside it.
 * @throws When the check takes a spoilt picture for a good one, or the other way round.
 */
export async function tryTheCheck(inputFolder: string): Promise<void> {
  const file = join(inputFolder, 'source.png');
  const good = readFileSync(file);
  const { width, height } = await sharp(good).metadata();
  await checkPicture({ file, width, height });
  const flipped = Buffer.from(good);
  flipped[flipped.length >> 1] = (flipped[flipped.length >> 1] ?? 0) ^ 0xff;
  const plain = sharp({ create: { width, height, channels: 3, background: '#336699' } });
  const spoilt: Record<string, Uint8Array> = {
    empty: Buffer.alloc(0),
    'cut in the middle': good.subarray(0, good.length >> 1),
    'one byte flipped': flipped,
    'an error page': Buffer.from('{"statusCode":500,"message":"Internal Server Error"}\n'),
    'one colour': await plain.png().toBuffer(),
    'another size': await sharp(good)
      .resize(width / 2, height / 2)
      .png()
      .toBuffer(),
  };
  for (const [name, bytes] of Object.entries(spoilt)) {
    const spoiltFile = join(inputFolder, `spoilt-${name.replaceAll(' ', '-')}`);
    writeFileSync(spoiltFile, bytes);
    const isTaken = await checkPicture({ file: spoiltFile, width, height }).then(
      () => true,
      () => false,
    );
    if (isTaken) throw new Error(`The picture check takes a spoilt picture (${name}) for a good one.`);
  }
}
