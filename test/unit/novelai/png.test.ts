// Checks that the PNG writer's files are read by sharp, keep their text chunks, and are the same bytes each time.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { addPngTexts, encodePng, isPng, pngChunk, PngError, readPngTexts } from '../../../src/novelai/png.ts';

const RGBA = randomBytes(40 * 30 * 4);
const PICTURE = { widthPx: 40, heightPx: 30, rgba: RGBA };

test('encodePng, is decoded by sharp to the same pixels, small and large', async () => {
  for (const [widthPx, heightPx] of [
    [40, 30],
    [1, 1],
    [300, 200],
  ] as const) {
    const rgba = randomBytes(widthPx * heightPx * 4);
    const png = await encodePng({ widthPx, heightPx, rgba });
    const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
    assert.deepEqual([info.width, info.height, info.channels], [widthPx, heightPx, 4]);
    assert.deepEqual(data, rgba);
  }
});

test('encodePng, gives the same bytes for the same picture', async () => {
  const texts = [['Software', 'NovelAI']] as const;
  assert.deepEqual(await encodePng({ ...PICTURE, texts }), await encodePng({ ...PICTURE, texts }));
});

test('encodePng, refuses a pixel buffer of the wrong length', async () => {
  await assert.rejects(encodePng({ ...PICTURE, widthPx: 41 }), RangeError);
});

test('readPngTexts, gives back Latin-1 and other texts in order', async () => {
  const texts = [
    ['Title', 'AI generated image'],
    ['Description', 'caf\u00e9, 1girl'],
    ['Comment', '{"prompt":"\u6843\u306e\u82b1 \u{1f338}"}'],
  ] as const;
  const png = await encodePng({ ...PICTURE, texts });
  assert.deepEqual(readPngTexts(png), texts);
  assert.equal(png.toString('latin1').match(/tEXt/g)?.length, 2);
  assert.equal(png.toString('latin1').match(/iTXt/g)?.length, 1);
});

test('addPngTexts, puts chunks after the header and leaves the picture readable', async () => {
  const added = addPngTexts(await encodePng(PICTURE), [['Source', 'x']]);
  assert.deepEqual(readPngTexts(added), [['Source', 'x']]);
  assert.deepEqual(await sharp(added).raw().toBuffer(), RGBA);
});

test('readPngTexts, reads compressed texts and leaves broken ones out', async () => {
  const png = await encodePng(PICTURE);
  const packed = deflateSync(Buffer.from('long text'));
  const chunks = [
    pngChunk('zTXt', Buffer.concat([Buffer.from('A\0\0'), packed])),
    pngChunk('iTXt', Buffer.concat([Buffer.from('B\0\u0001\0de\0\0'), packed])),
    pngChunk('zTXt', Buffer.from('C\0\0garbage')),
    pngChunk('tEXt', Buffer.from('no keyword end')),
    pngChunk('iTXt', Buffer.from('D\0\0\0no end')),
  ];
  const spliced = Buffer.concat([png.subarray(0, 33), ...chunks, png.subarray(33)]);
  assert.deepEqual(readPngTexts(spliced), [
    ['A', 'long text'],
    ['B', 'long text'],
  ]);
});

test('readPngTexts, throws PngError for what is no PNG or breaks off', async () => {
  const png = await encodePng(PICTURE);
  for (const bytes of [
    Buffer.alloc(0),
    Buffer.from('RIFF....WEBP'),
    png.subarray(0, png.length - 1),
    png.subarray(0, 60),
  ]) {
    assert.throws(() => readPngTexts(bytes), PngError);
  }
  assert.equal(isPng(png), true);
  assert.equal(isPng(Buffer.from('PK')), false);
});
