// Checks the drawn pictures, the canned answers, the sigmas and the latency model.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { readZip } from '../../../src/novelai/zip.ts';
import { makeCannedAnswer } from '../../../simulator/images/canned.ts';
import { GLYPH_HEIGHT, GLYPH_WIDTH, hasInk } from '../../../simulator/images/glyphs.ts';
import { encodeJpeg } from '../../../simulator/images/other-formats.ts';
import { drawPicture } from '../../../simulator/images/picture.ts';
import { sigmaOf } from '../../../simulator/images/sigmas.ts';
import { LatencyModel, nominalMs } from '../../../simulator/latency.ts';
import { SeededRandom } from '../../../simulator/random.ts';

const DRAWING = { identity: '0123456789abcdef', widthPx: 80, heightPx: 70, caption: 'Hi 1girl' };

test('drawPicture, is the same for the same drawing and another for another identity or caption', () => {
  assert.deepEqual(drawPicture(DRAWING), drawPicture(DRAWING));
  assert.notDeepEqual(drawPicture({ ...DRAWING, identity: '1123456789abcdef' }), drawPicture(DRAWING));
  assert.notDeepEqual(drawPicture({ ...DRAWING, caption: 'Ho' }), drawPicture(DRAWING));
  assert.notDeepEqual(drawPicture({ ...DRAWING, unfinished: 1 }), drawPicture(DRAWING));
});

test('hasInk, has a glyph for every usual character, all different', () => {
  const drawn = new Map<string, string>();
  for (const character of 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:-_()/!?+=#\'"{}[]') {
    let ink = '';
    for (let y = 0; y < GLYPH_HEIGHT; y++)
      for (let x = 0; x < GLYPH_WIDTH; x++) ink += hasInk(character, x, y) ? '#' : '.';
    assert.ok(ink.includes('#'), character);
    assert.equal(drawn.get(ink), undefined, `${character} looks like ${drawn.get(ink)}`);
    drawn.set(ink, character);
  }
});

test('encodeJpeg, begins as NovelAI’s do and is decoded', async () => {
  const jpeg = await encodeJpeg({ widthPx: 80, heightPx: 70, rgba: drawPicture(DRAWING) });
  assert.equal(jpeg.toString('hex', 0, 4), 'ffd8ffe0');
  const { format, width, height } = await sharp(jpeg).metadata();
  assert.deepEqual([format, width, height], ['jpeg', 80, 70]);
});

test('makeCannedAnswer, has exactly the size asked for and holds a picture', async () => {
  for (const sizeBytes of [512, 1024, 65_536, 65_700, 131_200, 1_500_000]) {
    const { zip, png } = await makeCannedAnswer(sizeBytes);
    assert.equal(zip.length, sizeBytes);
    const [entry] = await readZip(zip);
    assert.deepEqual(entry?.bytes, png);
    assert.equal((await sharp(png).metadata()).width, 8);
  }
});

test('sigmaOf, gives the captured values for 23 steps and falls for all others', () => {
  assert.equal(sigmaOf(0, 22), 20000);
  assert.equal(sigmaOf(1, 22), 113.89996337890625);
  assert.equal(sigmaOf(21, 22), 0.31205201148986816);
  for (const count of [1, 2, 5, 49]) {
    const sigmas = Array.from({ length: count }, (_, step) => sigmaOf(step, count));
    assert.equal(sigmas[0], 20000);
    assert.ok(sigmas.every((sigma, index) => index === 0 || sigma < (sigmas[index - 1] ?? 0)));
  }
});

test('latency, is about 3.4 s for 832x1216 at 23 steps, 14.6 s for bg-removal, and scaled or fixed on order', () => {
  const work = { kind: 'generate', generation: 'v4.5', widthPx: 832, heightPx: 1216, steps: 23, samples: 1 } as const;
  const model = new LatencyModel({ factor: 1, fixedMs: undefined }, new SeededRandom(1));
  for (let turn = 0; turn < 100; turn++) {
    const durationMs = model.generationMs(work);
    assert.ok(durationMs >= 3100 && durationMs <= 3800, `${durationMs}`);
  }
  assert.equal(nominalMs({ kind: 'augment', tool: 'bg-removal' }), 14_600);
  assert.ok(nominalMs({ ...work, samples: 4 }) > 3 * nominalMs(work));
  model.factor = 0;
  assert.equal(model.generationMs(work), 0);
  model.fixedMs = 12;
  assert.equal(model.generationMs(work), 12);
});

test('SeededRandom, repeats itself for a seed and is spread evenly enough for lots', () => {
  const numbers = (seed: number) => {
    const random = new SeededRandom(seed);
    return Array.from({ length: 1000 }, () => random.next());
  };
  assert.deepEqual(numbers(3), numbers(3));
  assert.notDeepEqual(numbers(3), numbers(4));
  const below = numbers(3).filter((number) => number < 0.3).length;
  assert.ok(below > 240 && below < 360, `${below}`);
});
