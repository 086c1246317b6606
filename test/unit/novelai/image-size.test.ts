// Checks image sizes against pictures made by a real encoder, and that no bytes make the reader fail.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import sharp from 'sharp';
import { imageFormat, isBase64Image, readBase64ImageSize, readImageSize } from '../../../src/novelai/image-size.ts';

const SIZES = [
  [1, 1],
  [832, 1216],
  [1537, 3],
] as const;

function picture(widthPx: number, heightPx: number): ReturnType<typeof sharp> {
  return sharp({
    create: { width: widthPx, height: heightPx, channels: 4, background: { r: 9, g: 80, b: 200, alpha: 0.5 } },
  });
}

async function pictures(widthPx: number, heightPx: number): Promise<[name: string, format: string, bytes: Buffer][]> {
  const base = picture(widthPx, heightPx);
  return [
    ['PNG', 'png', await base.clone().png().toBuffer()],
    ['JPEG', 'jpeg', await base.clone().jpeg().toBuffer()],
    ['progressive JPEG', 'jpeg', await base.clone().jpeg({ progressive: true }).toBuffer()],
    [
      'JPEG with a colour profile and EXIF',
      'jpeg',
      await base
        .clone()
        .withIccProfile('p3')
        .withExif({ IFD0: { Copyright: 'x'.repeat(30_000) } })
        .jpeg()
        .toBuffer(),
    ],
    ['WebP VP8', 'webp', await base.clone().removeAlpha().webp().toBuffer()],
    ['WebP VP8L', 'webp', await base.clone().webp({ lossless: true }).toBuffer()],
    [
      'WebP VP8X',
      'webp',
      await base
        .clone()
        .withExif({ IFD0: { Copyright: 'x' } })
        .webp({ lossless: true })
        .toBuffer(),
    ],
  ];
}

for (const [widthPx, heightPx] of SIZES) {
  test(`readImageSize, reads ${widthPx}x${heightPx} in every format, raw and in base64`, async () => {
    const kinds = new Set<string>();
    for (const [name, format, bytes] of await pictures(widthPx, heightPx)) {
      const expected = { format, widthPx, heightPx };
      assert.deepEqual(readImageSize(bytes), expected, name);
      const base64 = bytes.toString('base64');
      assert.deepEqual(readBase64ImageSize(Buffer.from(base64)), expected, `${name} in base64`);
      assert.deepEqual(readBase64ImageSize(Buffer.from(base64.replaceAll('/', '\\/'))), expected, `${name} escaped`);
      assert.deepEqual(
        readBase64ImageSize(Buffer.from(`data:image/${format};base64,${base64}`)),
        expected,
        `${name} as data URL`,
      );
      assert.ok(isBase64Image(Buffer.from(base64)));
      if (format === 'webp') kinds.add(bytes.toString('latin1', 12, 16));
    }
    assert.deepEqual([...kinds].toSorted(), ['VP8 ', 'VP8L', 'VP8X']);
  });
}

test('readImageSize, gives undefined for cut and foreign bytes', async () => {
  for (const [name, , bytes] of await pictures(832, 1216)) {
    for (const size of [0, 1, 3, 8, 12, 15])
      assert.equal(readImageSize(bytes.subarray(0, size)), undefined, `${name} cut at ${size}`);
  }
  for (const text of ['', 'GIF89a', '<svg/>', 'RIFF    WAVE', 'UklGR'])
    assert.equal(readImageSize(Buffer.from(text)), undefined);
  assert.equal(imageFormat(Buffer.from('RIFF')), undefined);
  assert.equal(isBase64Image(Buffer.from('SJvqCc3l8Ao=')), false);
});

test('readImageSize, never throws and never gives an empty size', () => {
  const heads = [
    '89504e470d0a1a0a0000000d49484452',
    'ffd8ff',
    'ffd8ffe00002',
    Buffer.from('RIFF....WEBPVP8X').toString('hex'),
    Buffer.from('RIFF....WEBPVP8L').toString('hex'),
    Buffer.from('RIFF....WEBPVP8 ').toString('hex'),
    '',
  ];
  fc.assert(
    fc.property(fc.constantFrom(...heads), fc.uint8Array({ maxLength: 60 }), (head, tail) => {
      const bytes = Buffer.concat([Buffer.from(head, 'hex'), tail]);
      for (const size of [
        readImageSize(bytes),
        readBase64ImageSize(bytes),
        readBase64ImageSize(Buffer.from(bytes.toString('base64'))),
      ]) {
        assert.ok(size === undefined || (size.widthPx > 0 && size.heightPx > 0));
      }
    }),
    { numRuns: 3000 },
  );
});
