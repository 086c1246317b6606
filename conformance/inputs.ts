// Draws the two pictures the clients start from: one to change, and a mask that is white where it may be repainted.
import { join } from 'node:path';
import { mkdirSync } from 'node:fs';
import sharp from 'sharp';

/** The clients' scripts know this size (clients/report.py, clients/report.ts). */
const WIDTH = 512;
const HEIGHT = 768;

/** Writes `source.png` and `mask.png` to the folder. */
export async function drawInputs(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const source = Buffer.alloc(WIDTH * HEIGHT * 3);
  const mask = Buffer.alloc(WIDTH * HEIGHT);
  for (let y = 0; y < HEIGHT; y += 1) {
    for (let x = 0; x < WIDTH; x += 1) {
      const at = y * WIDTH + x;
      source[at * 3] = x >> 1;
      source[at * 3 + 1] = (y / 3) | 0;
      source[at * 3 + 2] = (x ^ y) & 0xff;
      mask[at] = x >= 128 && x < 384 && y >= 192 && y < 576 ? 255 : 0;
    }
  }
  const size = { width: WIDTH, height: HEIGHT };
  await sharp(source, { raw: { ...size, channels: 3 } })
    .png()
    .toFile(join(folder, 'source.png'));
  await sharp(mask, { raw: { ...size, channels: 1 } })
    .png()
    .toFile(join(folder, 'mask.png'));
}
