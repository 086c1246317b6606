// Checks prices: NovelAI's vectors, the examples of contract 7.2, a second formula over many inputs, and the unknown.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { augmentSize, dearestPrice, maxSamples, priceOf } from '../../../src/novelai/price.ts';
import type { BillableGeneration, PayingAccount } from '../../../src/novelai/price.ts';
import { oracleAnlas } from '../../support/price-oracle.ts';

const OPUS: PayingAccount = { tier: 3, isActive: true, isAllowanceExhausted: false };
const TIER1: PayingAccount = { tier: 1, isActive: true, isAllowanceExhausted: false };
const ACCOUNTS: Record<string, PayingAccount> = {
  opus: OPUS,
  tier1: TIER1,
  'opus-expired': { ...OPUS, isActive: false },
  'opus, usage.isNegative': { ...OPUS, isAllowanceExhausted: true },
};

interface Vector {
  in: Record<string, number | string | boolean>;
  account: string;
  anlas: number;
}

const FIXTURE = new URL('../../fixtures/anlas-vectors.json', import.meta.url);
const { vectors } = JSON.parse(readFileSync(FIXTURE, 'utf8')) as { vectors: Vector[] };

const PLAIN: BillableGeneration = {
  kind: 'generate',
  model: 'nai-diffusion-4-5-full',
  widthPx: 832,
  heightPx: 1216,
  steps: 23,
  samples: 1,
  isSmea: false,
  isSmeaDyn: false,
  hasImage: false,
  hasMask: false,
  strength: undefined,
  inpaintStrength: undefined,
  vibes: 0,
  unencodedVibes: 0,
  characterReferences: 0,
};

function toBillable(input: Vector['in']): BillableGeneration {
  const number = (name: string): number | undefined => (name in input ? Number(input[name]) : undefined);
  return {
    kind: 'generate',
    model: String(input['model']),
    widthPx: number('width'),
    heightPx: number('height'),
    steps: number('steps'),
    samples: number('n_samples'),
    isSmea: Boolean(input['sm']),
    isSmeaDyn: Boolean(input['sm_dyn']),
    hasImage: Boolean(input['image']),
    hasMask: Boolean(input['mask']),
    strength: number('strength'),
    inpaintStrength: number('inpaintImg2ImgStrength'),
    vibes: number('vibes') ?? 0,
    unencodedVibes: number('unencodedVibes') ?? 0,
    characterReferences: number('characterRefs') ?? 0,
  };
}

test('priceOf, agrees with every one of the 60 recorded vectors', () => {
  assert.equal(vectors.length, 60);
  const differences = vectors.filter((vector) => {
    const price = priceOf(toBillable(vector.in), ACCOUNTS[vector.account]!);
    return (price.refusal === undefined ? price.costAnlas : -3) !== vector.anlas;
  });
  assert.deepEqual(differences, []);
});

test('priceOf, a character reference on Opus keeps the free sample and adds 5 a sample', () => {
  const job = { ...PLAIN, widthPx: 512, heightPx: 768, characterReferences: 1 };
  assert.equal(priceOf(job, OPUS).costAnlas, 5);
  assert.equal(priceOf({ ...job, samples: 2 }, OPUS).costAnlas, 7 + 10);
  assert.equal(priceOf({ ...job, vibes: 9 }, OPUS).costAnlas, 5);
});

test('priceOf, agrees with the second formula over 100,000 generations', () => {
  const job = fc.record<BillableGeneration>({
    kind: fc.constant('generate'),
    model: fc.constantFrom(
      'nai-diffusion-3',
      'nai-diffusion-furry-3',
      'nai-diffusion-4-full',
      'nai-diffusion-5-curated',
      'nai-diffusion-4-5-curated',
      'nai-diffusion-4-5-full-inpainting',
      'nai-diffusion-5-full-inpainting',
    ),
    widthPx: fc.integer({ min: 1, max: 34 }).map((side) => side * 64),
    heightPx: fc.oneof(
      fc.integer({ min: 1, max: 34 }).map((side) => side * 64),
      fc.integer({ min: 1, max: 2100 }),
    ),
    steps: fc.integer({ min: 1, max: 50 }),
    samples: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 8 })),
    isSmea: fc.boolean(),
    isSmeaDyn: fc.boolean(),
    hasImage: fc.boolean(),
    hasMask: fc.boolean(),
    strength: fc.oneof(
      fc.constantFrom(0.1, 0.3, 0.5, 0.55, 0.62, 0.7, 0.99, 1),
      fc.double({ min: 0, max: 1, noNaN: true }),
    ),
    inpaintStrength: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: undefined }),
    vibes: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 16 })),
    unencodedVibes: fc.constantFrom(0, 0, 0, 1, 4),
    characterReferences: fc.constantFrom(0, 0, 0, 1, 3),
  });
  const account = fc.record({
    tier: fc.constantFrom(0, 1, 2, 3, 3, 3, 4),
    isActive: fc.boolean(),
    isAllowanceExhausted: fc.boolean(),
  });
  const seen = { free: 0, refused: 0, paid: 0 };
  const seed = process.env['FC_SEED'];
  const options = { numRuns: 100_000, ...(seed === undefined ? {} : { seed: Number(seed) }) };
  fc.assert(
    fc.property(job, account, (job, account) => {
      const price = priceOf(job, account);
      const expected = oracleAnlas(job as never, account);
      assert.equal(price.refusal === undefined ? price.costAnlas : -3, expected);
      assert.equal(price.isFree, expected === 0);
      assert.ok(expected === -3 || dearestPrice(job).costAnlas >= expected);
      seen[expected === -3 ? 'refused' : expected === 0 ? 'free' : 'paid']++;
    }),
    options,
  );
  assert.ok(seen.free > 100 && seen.refused > 100 && seen.paid > 10_000, JSON.stringify(seen));
});

test('priceOf, drains the allowance exactly when V5 is free on Opus', () => {
  const v5 = { ...PLAIN, model: 'nai-diffusion-5-full' };
  assert.equal(priceOf(v5, OPUS).drainsAllowance, true);
  assert.equal(priceOf(PLAIN, OPUS).drainsAllowance, false);
  assert.equal(priceOf({ ...v5, steps: 29 }, OPUS).drainsAllowance, false);
  assert.equal(priceOf(v5, TIER1).drainsAllowance, false);
  assert.equal(priceOf(v5, { ...OPUS, isAllowanceExhausted: true }).drainsAllowance, false);
});

test('priceOf, Director tools cost what contract 7.2 shows', () => {
  const rows = [
    [832, 1216, 20, 0, 65],
    [512, 512, 20, 0, 65],
    [64, 64, 20, 0, 65],
    [1024, 1024, 20, 0, 65],
    [1536, 2048, 60, 60, 185],
  ] as const;
  for (const [widthPx, heightPx, base, opus, removal] of rows) {
    const tool = { kind: 'augment', tool: 'lineart', widthPx, heightPx } as const;
    assert.equal(priceOf(tool, TIER1).costAnlas, base);
    assert.equal(priceOf(tool, OPUS).costAnlas, opus);
    assert.equal(priceOf(tool, OPUS).isFree, opus === 0);
    for (const account of [TIER1, OPUS]) {
      assert.equal(priceOf({ ...tool, tool: 'bg-removal' }, account).costAnlas, removal);
    }
  }
});

test('augmentSize, resizes as the web client does', () => {
  assert.deepEqual(augmentSize(832, 1216), { widthPx: 847, heightPx: 1237 });
  assert.deepEqual(augmentSize(512, 512), { widthPx: 1024, heightPx: 1024 });
  assert.deepEqual(augmentSize(64, 64), { widthPx: 1024, heightPx: 1024 });
  assert.deepEqual(augmentSize(1024, 1536), { widthPx: 1024, heightPx: 1536 });
  const shrunk = augmentSize(4096, 4096);
  assert.ok(shrunk.widthPx * shrunk.heightPx <= 3_143_728);
});

test('priceOf, upscale costs by the area that goes in, on every tier, and a larger one is refused', () => {
  const rows = [
    [512, 768, 1],
    [832, 1216, 1],
    [1024, 1024, 1],
    [1088, 1024, 2],
    [1024, 1536, 2],
    [1472, 1472, 3],
    [1088, 1920, 3],
    [1536, 2048, 4],
  ] as const;
  for (const [widthPx, heightPx, anlas] of rows) {
    for (const account of [TIER1, OPUS]) {
      const price = priceOf({ kind: 'upscale', widthPx, heightPx }, account);
      assert.deepEqual(
        [price.costAnlas, price.isFree, price.refusal],
        [anlas, false, undefined],
        `${widthPx}x${heightPx}`,
      );
    }
  }
  assert.match(
    priceOf({ kind: 'upscale', widthPx: 1600, heightPx: 2048 }, OPUS).refusal ?? '',
    /at most 3145728 pixels/,
  );
});

test('priceOf, encoding a vibe costs 2 and nothing costs nothing', () => {
  assert.equal(priceOf({ kind: 'encode-vibe' }, OPUS).costAnlas, 2);
  assert.deepEqual(
    [priceOf({ kind: 'nothing' }, TIER1).costAnlas, priceOf({ kind: 'nothing' }, TIER1).isFree],
    [0, true],
  );
});

test('priceOf, what is not known is never free and never refused on a guess', () => {
  const unknowns: Partial<BillableGeneration>[] = [
    { model: '' },
    { model: 'nai-diffusion-6-full' },
    { widthPx: undefined },
    { heightPx: undefined },
    { steps: undefined },
    { widthPx: 0 },
    { heightPx: -64 },
    { steps: Number.NaN },
    { steps: 0 },
    { samples: 0 },
    { samples: 1.5 },
    { samples: -1 },
    { model: 'x', steps: 50, widthPx: 2048, heightPx: 1536 },
  ];
  for (const unknown of unknowns) {
    const price = priceOf({ ...PLAIN, ...unknown }, OPUS);
    assert.ok(!price.isFree && price.costAnlas >= 17 && price.refusal === undefined, JSON.stringify([unknown, price]));
    assert.match(price.reason, /assumed the dearest/);
  }
  assert.equal(priceOf({ ...PLAIN, model: 'x' }, OPUS).costAnlas, 26);
  assert.equal(priceOf({ ...PLAIN, widthPx: undefined, steps: undefined, model: 'x' }, OPUS).costAnlas, 140);
  assert.equal(priceOf({ kind: 'unknown', why: 'no body' }, OPUS).costAnlas, 140);
  assert.equal(priceOf({ kind: 'augment', tool: 'pixel-snap', widthPx: 512, heightPx: 512 }, OPUS).costAnlas, 65);
  assert.equal(priceOf({ kind: 'augment', tool: 'sketch', widthPx: undefined, heightPx: 512 }, OPUS).costAnlas, 60);
  assert.equal(priceOf({ kind: 'upscale', widthPx: undefined, heightPx: undefined }, OPUS).costAnlas, 4);
});

test('priceOf, missing samples are one and a missing strength is the dearest', () => {
  assert.equal(priceOf({ ...PLAIN, samples: undefined }, OPUS).costAnlas, 0);
  assert.equal(priceOf({ ...PLAIN, hasImage: true }, TIER1).costAnlas, 17);
  assert.equal(priceOf({ ...PLAIN, hasImage: true, strength: Number.NaN }, TIER1).costAnlas, 17);
});

test('priceOf, an enlarged generation is never free', () => {
  assert.equal(priceOf({ ...PLAIN, isUpscaled: true }, OPUS).costAnlas, 1);
});

test('priceOf, always gives a whole, finite, non-negative price', () => {
  const anyNumber = fc.option(fc.double(), { nil: undefined });
  const job = fc.record({
    ...Object.fromEntries(
      ['widthPx', 'heightPx', 'steps', 'samples', 'strength', 'inpaintStrength'].map((name) => [name, anyNumber]),
    ),
    model: fc.constantFrom('nai-diffusion-2', 'nai-diffusion-5-full', 'nonsense'),
    hasMask: fc.boolean(),
    hasImage: fc.boolean(),
    isSmea: fc.boolean(),
  });
  fc.assert(
    fc.property(job, (job) => {
      const price = priceOf({ ...PLAIN, ...job }, OPUS);
      assert.ok(price.costAnlas >= 0 && !Number.isNaN(price.costAnlas), JSON.stringify(price));
      assert.ok(price.refusal !== undefined || Number.isSafeInteger(price.costAnlas), JSON.stringify(price));
    }),
    { numRuns: 2000 },
  );
});

test('maxSamples, follows the newest table', () => {
  assert.deepEqual(
    [360_448, 360_449, 409_600, 409_601, 3_145_728].map((areaPx) => maxSamples(areaPx)),
    [8, 6, 6, 4, 4],
  );
});
